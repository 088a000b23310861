"""A real engine whose clock is set back, put right and set wrong, and whose zone files change."""

from __future__ import annotations

import shutil
import signal
import zoneinfo
from datetime import datetime, timedelta
from pathlib import Path

from installation import EVERY_MINUTE, FAILS, Installation, until

from keiji.states import RunState
from keiji_engine.bus import protocol as p

HOURS = timedelta(hours=2)


def next_instant(installation: Installation, slug: str) -> datetime:
    """Return the first instant that ``keiji task next`` shows."""
    return installation.ask(p.GetUpcoming(task=slug, count=1)).instants[0].at


def set_clock(installation: Installation, step: timedelta) -> None:
    installation.clock.shift(step)
    installation.wake_scheduler()


def assert_views_agree(installation: Installation, slug: str) -> None:
    due = installation.next_due(slug)
    assert next_instant(installation, slug) == due
    if installation.task(slug).pause is None:
        assert installation.ask(p.Explain(task=slug)).reasons[-1].params["at"] == due.isoformat()
    timeline = installation.ask(p.GetTimeline(hours=7 * 24))
    listed = [instant.at for instant in timeline.instants if instant.task == slug]
    listed += [task.next_at for task in timeline.frequent_tasks if task.task == slug]
    assert listed[0] == due


def test_an_engine_that_boots_with_a_clock_that_is_behind_loses_and_invents_no_history(
    installation: Installation,
) -> None:
    installation.start()
    installation.build("ping", schedule='cron("* * * * *")')
    installation.build("paused", schedule=EVERY_MINUTE)
    installation.do(p.PauseTask(task="paused"))
    installation.advance_to(max(installation.next_due("ping"), installation.next_due("paused")))
    installation.ended("ping")
    [skipped] = installation.wait_for_runs("paused", 1, lambda run: run.state is RunState.SKIPPED)
    before = {slug: (installation.next_due(slug), installation.runs(slug)) for slug in ("ping", "paused")}
    installation.stop()

    installation.clock.shift(-HOURS)
    installation.start()
    assert installation.next_due("ping") < before["ping"][0] - timedelta(hours=1)
    assert installation.runs("paused") == [skipped]
    for slug in before:
        assert_views_agree(installation, slug)

    set_clock(installation, HOURS)
    for slug, (next_at, runs) in before.items():
        until(lambda slug=slug, next_at=next_at: installation.next_due(slug) == next_at)
        assert installation.runs(slug) == runs
        assert_views_agree(installation, slug)


def test_a_set_back_is_handled_once_and_leaves_later_retries_and_the_uptime_alone(installation: Installation) -> None:
    installation.start()
    installation.build("ping", schedule='cron("0 * * * *")')
    installation.build("daily", schedule='cron("0 0 * * *")')
    set_clock(installation, timedelta(days=1))
    [ran_daily] = installation.ended("daily", 1)
    installation.ended("ping", 1)  # otherwise the next one would be skipped
    set_clock(installation, timedelta(days=29))
    ran = installation.ended("ping", 2)[-1]
    set_clock(installation, -timedelta(days=30))
    engine = installation.ask(p.Ping()).engine
    assert timedelta() <= installation.clock() - engine.started_at < timedelta(minutes=1)
    assert ran.scheduled_for is not None
    until(lambda: installation.next_due("ping") < ran.scheduled_for - timedelta(days=29))
    assert_views_agree(installation, "ping")
    assert_views_agree(installation, "daily")
    assert ran_daily.scheduled_for is not None
    assert installation.next_due("daily") > ran_daily.scheduled_for, "what ran does not run again"

    installation.build("fails", FAILS, policy="Policy(retry=Retry(tries=2, delay=600))")
    installation.do(p.RunTask(task="fails"))
    [retry] = installation.wait_for_runs("fails", 1, lambda run: run.state is RunState.QUEUED)
    for _ in range(2):
        installation.stop()
        installation.start()
    [after] = installation.wait_for_runs("fails", 1, lambda run: run.attempt == 2)
    assert (after.state, after.due_at) == (RunState.QUEUED, retry.due_at)


def test_a_changed_zone_file_is_used_after_a_hangup_and_after_a_start(installation: Installation) -> None:
    zones = installation.paths.data / "zoneinfo"
    installation.environment["PYTHONTZPATH"] = str(zones)
    installation.write_settings(TIME_ZONE="Europe/Berlin")

    def use_rules_of(zone: str) -> None:
        (zones / "Europe").mkdir(parents=True, exist_ok=True)
        (zones / "Europe/Berlin").unlink(missing_ok=True)
        shutil.copy(_zone_file(zone), zones / "Europe/Berlin")

    use_rules_of("Africa/Lagos")  # UTC+1
    installation.start()
    installation.build("noon", schedule='on.day.at("12:00")')
    assert installation.next_due("noon").hour == 11
    (zones / "Europe/Berlin").write_bytes(b"TZif2 incomplete")
    installation.signal(signal.SIGHUP)
    log = installation.paths.service_log("scheduler")
    until(lambda: "the former rules stay in use" in log.read_text())
    assert (installation.next_due("noon").hour, next_instant(installation, "noon").hour) == (11, 11)
    use_rules_of("Asia/Tokyo")  # UTC+9
    installation.signal(signal.SIGHUP)
    until(lambda: installation.next_due("noon").hour == 3)
    assert next_instant(installation, "noon").hour == 3
    installation.stop()
    use_rules_of("Asia/Dubai")  # UTC+4
    installation.start()
    assert (installation.next_due("noon").hour, next_instant(installation, "noon").hour) == (8, 8)


def _zone_file(zone: str) -> Path:
    for folder in zoneinfo.TZPATH:
        if (file := Path(folder, zone)).exists():
            return file
    import tzdata

    return Path(tzdata.__path__[0], "zoneinfo", zone)

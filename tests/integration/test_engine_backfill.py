"""Backfills and reruns through a real engine and the command line: progress, stop, resume, refusals."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
from command_line import Result, run_command
from installation import EVERY_HOUR, EVERY_MINUTE, FAILS, Installation, until

from keiji.errors import BackfillNotFound, BackfillRunning, RunNotFound, UsageError
from keiji.reasons import Code
from keiji.states import BackfillState, RunState, Trigger
from keiji_engine.bus import protocol as p
from keiji_engine.bus.client import Client
from keiji_engine.bus.views import BackfillView

DAILY = "on.day.at('06:00')"
RUNS_UNTIL_RELEASED = """
import os, time
def function():
    while not os.path.exists("released"):
        time.sleep(0.01)
"""


PRINTS_CONTEXT = """
import os
def function(region: str = "us"):
    print(region, os.environ["KEIJI_DUE"], os.environ["KEIJI_TRIGGER"])
"""


def days_ago(days: int) -> str:
    return f"{datetime.now(UTC) - timedelta(days=days):%Y-%m-%d}"


def command(installation: Installation, *arguments: str) -> Result:
    return run_command("task", *arguments, environment=installation.environment)


def backfill_of(installation: Installation, slug: str) -> BackfillView:
    """Return the newest backfill of a task."""
    return installation.ask(p.GetBackfills(task=slug)).backfills[0]


def release(installation: Installation, slug: str) -> None:
    folder = installation.paths.work / slug
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "released").touch()


def test_a_backfill_runs_the_days_of_a_range_and_publishes_its_progress(shared: Installation) -> None:
    shared.build("report", schedule=DAILY)
    directive = p.BackfillTask(task="report", begin=days_ago(5), end=days_ago(3))

    async def follow() -> list[BackfillView]:
        views: list[BackfillView] = []
        async with Client(shared.paths, "test") as client, asyncio.timeout(30):
            sent: asyncio.Task[p.Done] | None = None
            async for update in client.watch():
                if isinstance(update, p.Snapshot):
                    sent = asyncio.create_task(client.execute(directive))
                if isinstance(update, p.Delta) and isinstance(update.event, p.BackfillChanged):
                    views.append(update.event.backfill)
                    if views[-1].state is BackfillState.DONE:
                        break
            assert sent is not None
            await sent
        return views

    views = asyncio.run(follow())
    assert [view.succeeded for view in views] == sorted(view.succeeded for view in views)
    assert (views[0].state, views[0].total, views[0].done) == (BackfillState.RUNNING, 3, 0)
    assert (views[-1].succeeded, views[-1].failed, views[-1].open, views[-1].zone) == (3, 0, 0, "Africa/Nairobi")
    runs = shared.runs("report")
    assert {(run.trigger, run.state) for run in runs} == {(Trigger.BACKFILL, RunState.SUCCEEDED)}
    # 6:00 in Nairobi, in order, one at a time.
    due = [run.scheduled_for for run in runs]
    assert [f"{moment:%H:%M}" for moment in due if moment] == ["03:00"] * 3
    assert due == sorted(filter(None, due))
    assert shared.task("report").next_execution_time is not None


def test_a_rerun_repeats_the_due_time_and_shows_in_the_history(shared: Installation) -> None:
    shared.build("report", schedule=DAILY)
    assert command(shared, "backfill", "report", "--from", days_ago(2), "--to", days_ago(2), "--wait").code == 0
    [original] = shared.runs("report")
    result = command(shared, "rerun", "report", original.run_id)
    assert result.code == 0, result.stderr
    [_, repeated] = shared.ended("report", 2)
    assert (repeated.trigger, repeated.scheduled_for) == (Trigger.RERUN, original.scheduled_for)
    assert repeated.series > original.series
    history = json.loads(command(shared, "runs", "report", "--json").stdout)
    assert [(run["trigger"], run["scheduled_for"]) for run in history] == [
        ("rerun", history[1]["scheduled_for"]),
        ("backfill", history[0]["scheduled_for"]),
    ]
    with pytest.raises(RunNotFound):
        shared.do(p.RerunTask(task="report", run="0" * 26))


def test_a_stopped_backfill_continues_where_it_was_stopped(shared: Installation) -> None:
    shared.build("slow", RUNS_UNTIL_RELEASED, DAILY)
    shared.do(p.BackfillTask(task="slow", begin=days_ago(3), end=days_ago(1)))
    shared.wait_for_runs("slow", 1, lambda run: run.state is RunState.RUNNING)
    with pytest.raises(BackfillRunning):
        shared.do(p.BackfillTask(task="slow", begin=days_ago(3), end=days_ago(1)))
    number = backfill_of(shared, "slow").id
    stopped = command(shared, "backfill", "--stop", str(number))
    assert stopped.code == 0
    assert "stopped backfill" in stopped.stdout
    assert "1 live run continues" in stopped.stdout
    release(shared, "slow")
    until(lambda: backfill_of(shared, "slow").open == 0)
    view = backfill_of(shared, "slow")
    assert (view.state, view.succeeded, len(shared.runs("slow"))) == (BackfillState.STOPPED, 1, 1)
    waited = command(shared, "backfill", "--resume", str(number), "--wait")
    assert waited.code == 0, waited.stderr
    assert waited.stdout.splitlines()[-1] == "3 of 3: 3 succeeded"
    assert "is done" in command(shared, "backfill", "--resume", str(number)).stdout
    shared.build("other")
    with pytest.raises(BackfillNotFound):
        shared.do(p.StopBackfill(task="other", backfill=number))


def test_an_occurrence_waits_for_the_live_run_of_a_backfill_and_goes_first(shared_ahead: Installation) -> None:
    shared_ahead.build("minutely", RUNS_UNTIL_RELEASED, EVERY_MINUTE)
    now = shared_ahead.clock()
    shared_ahead.do(
        p.BackfillTask(
            task="minutely",
            begin=(now - timedelta(minutes=3)).isoformat(),
            end=(now - timedelta(seconds=1)).isoformat(),
        )
    )
    [first] = shared_ahead.wait_for_runs("minutely", 1, lambda run: run.state is RunState.RUNNING)
    shared_ahead.advance_to(shared_ahead.next_due("minutely"))
    [waiting] = shared_ahead.wait_for_runs("minutely", 1, lambda run: run.trigger is Trigger.SCHEDULE)
    assert (first.trigger, waiting.state) == (Trigger.BACKFILL, RunState.QUEUED)
    release(shared_ahead, "minutely")
    runs = shared_ahead.ended("minutely", 3)
    in_order = sorted(runs, key=lambda run: (run.started_at is None, run.started_at))
    assert [run.trigger for run in in_order] == [Trigger.BACKFILL, Trigger.SCHEDULE, Trigger.BACKFILL]
    assert in_order[1].run_id == waiting.run_id
    assert {run.state for run in runs} == {RunState.SUCCEEDED}


def test_a_backfill_that_is_requested_twice_with_one_id_is_one(shared: Installation) -> None:
    shared.build("report", schedule=DAILY)
    directive = p.BackfillTask(task="report", begin=days_ago(2), end=days_ago(1))
    lines = shared.do(directive)
    until(lambda: backfill_of(shared, "report").state is BackfillState.DONE)
    assert shared.do(directive) == lines
    assert len(shared.ask(p.GetBackfills(task="report")).backfills) == 1
    [entry] = [each for each in shared.ask(p.GetDirectives()).directives if each.id == directive.id]
    assert (entry.verb, entry.target, entry.options["begin"]) == ("backfill", "report", days_ago(2))


def test_failed_instants_do_not_stop_a_backfill_and_a_second_one_repeats_them(shared: Installation) -> None:
    shared.build("fails", FAILS, DAILY, "Policy(hold_after=1)")
    options = ("fails", "--from", days_ago(2), "--to", days_ago(1))
    failed = command(shared, "backfill", *options, "--wait")
    assert failed.code == 1
    assert "2 of 2 instants failed" in failed.stderr
    task = shared.task("fails")
    assert (task.is_error, task.held_since) == (False, None)
    planned = command(shared, "backfill", *options, "--dry-run")
    assert "2 of 2 instants would run" in planned.stdout
    listed = json.loads(command(shared, "backfill", "--list", "fails", "--json").stdout)
    assert [(each["state"], each["failed"], each["total"]) for each in listed] == [("done", 2, 2)]
    assert "2/2" in command(shared, "backfill", "--list").stdout


def test_a_backfill_waits_while_the_task_is_paused_and_says_so(shared: Installation) -> None:
    shared.build("report", schedule=DAILY)
    shared.do(p.PauseTask(task="report"))
    lines = shared.do(p.BackfillTask(task="report", begin=days_ago(1), end=days_ago(1)))
    assert any("does not begin yet: paused" in line for line in lines)
    waiting = backfill_of(shared, "report").waiting
    assert waiting is not None
    assert waiting.code == Code.PAUSED
    explained = command(shared, "explain", "report").stdout
    assert "is running: 0 of 1 instants are done; paused" in explained
    assert shared.runs("report") == []
    shared.do(p.ResumeTask(task="report"))
    until(lambda: backfill_of(shared, "report").state is BackfillState.DONE)


def test_the_runs_of_a_backfill_know_their_instant_and_the_parameters(shared: Installation) -> None:
    shared.build("report", PRINTS_CONTEXT, DAILY)
    range_ = ("report", "--from", days_ago(2), "--to", days_ago(2))
    unknown = command(shared, "backfill", *range_, "--", "nothing=1")
    assert (unknown.code, "nothing" in unknown.stderr) == (2, True)
    assert command(shared, "backfill", *range_, "--wait", "--", "region=eu").code == 0
    [run] = shared.runs("report")
    assert run.params == {"region": "eu"}
    assert f"eu {days_ago(2)}T06:00:00+03:00 backfill" in shared.log("report")
    assert command(shared, "rerun", "report", run.run_id).code == 0
    shared.ended("report", 2)
    assert f"eu {days_ago(2)}T06:00:00+03:00 rerun" in shared.log("report")


def test_without_an_engine_a_backfill_is_recorded_and_invalid_ones_are_refused(installation: Installation) -> None:
    installation.build("report", schedule=DAILY)
    installation.build("often", schedule="every(1).seconds")
    installation.build("parallel", policy="Policy(overlap='allow', max_parallel=2)")
    installation.build("event", schedule="at_start")
    invalid = [
        (("event", "--from", "2026-11-01", "--to", "2026-11-07"), "it runs on an event (at start)"),
        (("report", "--from", "2026-11-07", "--to", "2026-11-01"), "ends before it begins"),
        (("report", "--from", "2026-11-31", "--to", "2026-12-01"), "--from('2026-11-31'): expected a date and time"),
        (("report", "--from", "2099-01-01", "--to", "2099-12-01"), "has no past instants from 2099-01-01"),
        (("often", "--from", "2026-01-01", "--to", "2026-02-01"), "more than 10,000 instants of 'every second'"),
        (("report", "--from", days_ago(2), "--to", days_ago(1), "--parallel", "2"), "one at a time (overlap: skip)"),
        (("parallel", "--from", days_ago(2), "--to", days_ago(1), "--parallel", "3"), "allows 2 at a time"),
        (("report", "--from", days_ago(2)), "--to is missing"),
        (("--stop", "1", "--again"), "--again has no meaning with --stop"),
        (("--stop", "1", "--list"), "exclude each other"),
    ]
    for arguments, message in invalid:
        result = command(installation, "backfill", *arguments)
        assert (result.code, message in result.stderr) == (2, True), (arguments, result)
    assert command(installation, "backfill", "--stop", "1").code == 4
    with pytest.raises(UsageError):
        installation.ask(p.PlanBackfill(task="report", begin="", end=""))
    created = command(installation, "backfill", "report", "--from", days_ago(2), "--to", days_ago(0))
    assert created.code == 0
    assert "it begins when the engine starts" in created.stdout
    assert backfill_of(installation, "report").waiting is not None
    installation.start()
    until(lambda: backfill_of(installation, "report").state is BackfillState.DONE)


def test_a_day_on_which_the_clock_is_set_back_ends_at_its_own_midnight(installation: Installation) -> None:
    installation.build("berlin", schedule=EVERY_HOUR, policy="Policy(tz='Europe/Berlin')")
    reply = installation.ask(p.PlanBackfill(task="berlin", begin="2025-10-26", end="2025-10-26"))
    assert len(reply.instants) == 25
    assert reply.instants[0].at >= datetime(2025, 10, 25, 22, tzinfo=UTC)
    assert reply.instants[-1].at < datetime(2025, 10, 26, 23, tzinfo=UTC)

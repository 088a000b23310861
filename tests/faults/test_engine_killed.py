"""The engine is killed at the worst instants: runs continue, none runs twice, every due instant is accounted for."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import behaviours
from installation import EVERY_HOUR, EVERY_MINUTE, EVERY_SECOND, Installation, until

from keiji import engine_process
from keiji.policy import Policy
from keiji.reasons import render
from keiji.records import Run
from keiji.states import ENDED, BackfillState, RunState
from keiji_engine.bus import protocol as p
from keiji_engine.bus.client import Client
from keiji_engine.bus.views import BackfillView, LinkChanged, LinkState

# For more kills: KEIJI_EXAMPLES=50 python -m pytest tests/faults/test_engine_killed.py -o timeout=0
KILLS = 3 * int(os.environ.get("KEIJI_EXAMPLES", "1"))

# Appends the run's id to a file, which reveals a run that was started twice.
RECORDS_ITS_ID = """
import os, time
def function():
    with open("ran", "a") as ran:
        ran.write(os.environ["KEIJI_RUN_ID"] + "\\n")
    print("started", flush=True)
    {wait}
    print("ended")
    raise SystemExit({code})
"""
UNTIL_RELEASED = """while not os.path.exists("released"):
        time.sleep(0.01)"""


def release(installation: Installation, slug: str) -> None:
    """Let a run end that waits with `UNTIL_RELEASED`."""
    (installation.paths.work / slug / "released").touch()


def test_runs_outlive_the_engine_and_the_next_one_records_or_stops_them(shared: Installation) -> None:
    short, long = behaviours.records_its_id(until_released=True, code=7), behaviours.SLEEPS
    for kind in behaviours.KINDS:
        behaviours.build(shared, kind, f"short_{kind}", short)
        behaviours.build(shared, kind, f"limited_{kind}", long, policy=Policy(timeout=2))
        behaviours.build(shared, kind, f"long_{kind}", long)
    for name in ("long", "short", "limited"):  # the last ones must not reach their limit before the engine is killed
        for kind in behaviours.KINDS:
            shared.do(p.RunTask(task=f"{name}_{kind}"))
        for kind in behaviours.KINDS:
            until(lambda slug=f"{name}_{kind}": "started" in shared.log(slug))
    shared.kill()
    killed_at = datetime.now(UTC)
    for kind in behaviours.KINDS:
        release(shared, f"short_{kind}")
    until(lambda: sum(file.read_bytes().count(b"\n") >= 2 for file in shared.run_files()) == 4)
    ended_by = datetime.now(UTC)
    shared.start()

    for kind in behaviours.KINDS:
        [limited] = shared.ended(f"limited_{kind}")
        assert limited.state is RunState.TIMED_OUT
        [run] = shared.ended(f"short_{kind}")
        assert (run.state, run.exit_code) == (RunState.FAILED, 7)
        for each in (limited, run):
            assert each.finished_at is not None
            assert killed_at < each.finished_at < ended_by, "recorded by the shim, not when the engine found it"
        text = shared.log(f"short_{kind}").encode()
        assert run.log_start is not None
        assert b'msg="started"' in text[run.log_start : run.log_end]
        assert b'msg="ended"' in text[run.log_start : run.log_end]

        assert shared.task(f"long_{kind}").is_running
        shared.do(p.StopRun(task=f"long_{kind}"))
        [run] = shared.ended(f"long_{kind}")
        assert run.state == RunState.STOPPED
    until(lambda: not shared.run_files())


def test_after_kills_at_random_instants_no_instant_ran_twice_and_all_are_accounted_for(
    installation: Installation, seed: int
) -> None:
    draw = random.Random(seed)
    names = [f"task{number}" for number in range(3)]
    for number, name in enumerate(names):
        kind = behaviours.KINDS[number % len(behaviours.KINDS)]
        behaviours.build(installation, kind, name, behaviours.records_its_id(), schedule=EVERY_SECOND)
    for _ in range(KILLS):
        installation.start()
        # The worst instants are close to when all tasks are due: between the claim, the launch, and their records.
        due = max(installation.next_due(name) for name in names)
        kill_at = due + timedelta(seconds=draw.uniform(-0.01, 0.08))
        installation.clock.advance_to(due - timedelta(seconds=0.05))
        installation.wake_scheduler()
        time.sleep(max((kill_at - installation.clock()).total_seconds(), 0.0))
        installation.kill()
    installation.start()
    for name in names:
        installation.advance(1)
        installation.ended(name, 2)
        until(lambda name=name: not installation.task(name).is_running)
        installation.do(p.Disable(task=name))
        runs = installation.runs(name)
        ran = (installation.paths.work / name / "ran").read_text().split()
        assert max(Counter(ran).values()) == 1
        assert max(Counter(run.scheduled_for for run in runs).values()) == 1
        assert {run.run_id for run in runs if run.state == RunState.SUCCEEDED} <= set(ran)
        assert set(ran) <= {run.run_id for run in runs}
        assert {run.state for run in runs} <= ENDED
        assert_accounted_for(runs)


def test_a_backfill_runs_each_instant_once_although_the_engine_is_killed_at_random_instants(
    shared: Installation, seed: int
) -> None:
    draw, count = random.Random(seed), 5 * KILLS
    policy = "Policy(overlap='allow', retry=Retry(tries=2))"
    shared.build("report", RECORDS_ITS_ID.format(wait="pass", code=0), EVERY_HOUR, policy)
    begin = (datetime.now(UTC) - timedelta(hours=count + 1)).replace(minute=0, second=0, microsecond=0)
    end = begin + timedelta(hours=count) - timedelta(seconds=1)
    ran = shared.paths.work / "report" / "ran"

    def run_ids() -> list[str]:
        return ran.read_text().split() if ran.exists() else []

    shared.do(p.BackfillTask(task="report", begin=begin.isoformat(), end=end.isoformat(), parallel=2))
    for number in range(KILLS):
        # The worst instants are those around a claim, a launch, a result and their records, which follow each other.
        until(lambda number=number: len(run_ids()) >= 4 * number)
        time.sleep(draw.uniform(0, 0.1))
        shared.kill()
        shared.start()

    def backfill() -> BackfillView:
        return shared.ask(p.GetBackfills(task="report")).backfills[0]

    until(lambda: backfill().state is BackfillState.DONE)
    runs = [run for run in shared.runs("report") if run.series > 0]
    instants = [run.scheduled_for for run in runs if run.attempt == 1]
    assert len(instants) == len(set(instants)) == count == backfill().total
    assert min(filter(None, instants)) >= begin
    assert max(filter(None, instants)) <= end
    assert max(Counter(run_ids()).values()) == 1
    assert {run.run_id for run in runs if run.state is RunState.SUCCEEDED} <= set(run_ids())
    assert set(run_ids()) <= {run.run_id for run in runs}
    assert backfill().succeeded == sum(run.state is RunState.SUCCEEDED for run in runs)


def assert_accounted_for(runs: Sequence[Run]) -> None:
    """Each second from the first instant to the last has a row or is counted in one."""
    instants = sorted(run.scheduled_for for run in runs if run.scheduled_for is not None)
    count = sum(run.count for run in runs if run.scheduled_for is not None and run.attempt == 1)
    assert count == (instants[-1] - instants[0]).total_seconds() + 1


def test_stopped_engine_goes_stale_then_offline_and_accounts_for_missed_instants_when_continued(
    shared_ahead: Installation,
) -> None:
    stop_seconds = 10  # seconds, by the engine's clock
    shared_ahead.build("ping", RECORDS_ITS_ID.format(wait="pass", code=0), EVERY_SECOND)
    before = engine_process.read_info(shared_ahead.paths)
    shared_ahead.advance(1)
    shared_ahead.ended("ping", 1)
    continued: list[datetime] = []

    async def link_states() -> list[LinkState]:
        states = []
        client = Client(shared_ahead.paths, "test", stale_after=0.3, offline_after=0.7)
        async with client, asyncio.timeout(20):
            async for update in client.watch():
                if not isinstance(update, LinkChanged):
                    continue
                states.append(update.state)
                if states[-2:] == [LinkState.CONNECTING, LinkState.LIVE]:
                    shared_ahead.signal(signal.SIGSTOP)
                if update.state == LinkState.OFFLINE:
                    continued.append(shared_ahead.clock() + timedelta(seconds=stop_seconds))
                    shared_ahead.clock.advance_to(continued[0])
                    shared_ahead.signal(signal.SIGCONT)
                if LinkState.OFFLINE in states and update.state == LinkState.LIVE:
                    return states
        return states

    assert asyncio.run(link_states()) == [
        LinkState.CONNECTING,
        LinkState.LIVE,
        LinkState.STALE,
        LinkState.OFFLINE,
        LinkState.LIVE,
    ]
    info = engine_process.read_info(shared_ahead.paths)
    assert info is not None
    assert before is not None
    assert info.pid == before.pid

    shared_ahead.advance(1)
    shared_ahead.wait_for_runs("ping", 1, lambda run: run.scheduled_for and run.scheduled_for > continued[0])
    shared_ahead.do(p.Disable(task="ping"))
    runs = shared_ahead.runs("ping")
    assert_accounted_for(runs)
    coalesced = [run for run in runs if run.state is RunState.COALESCED]
    assert len(coalesced) >= stop_seconds - 1
    assert all("covered by the run due at" in render(run.reason) for run in coalesced)


def test_instant_due_at_a_restart_is_not_delayed_by_a_run_that_ended_in_between(shared_ahead: Installation) -> None:
    shared_ahead.build("often", RECORDS_ITS_ID.format(wait=UNTIL_RELEASED, code=0), EVERY_MINUTE)
    shared_ahead.do(p.RunTask(task="often"))
    until(lambda: "started" in shared_ahead.log("often"))
    shared_ahead.kill()
    due = shared_ahead.next_due("often")
    release(shared_ahead, "often")
    until(lambda: 'msg="ended"' in shared_ahead.log("often"))
    shared_ahead.clock.advance_to(due)
    shared_ahead.start()
    [second] = shared_ahead.wait_for_runs("often", 1, lambda run: run.scheduled_for == due)
    assert shared_ahead.runs("often")[0].state == RunState.SUCCEEDED
    assert second.state in {RunState.STARTING, RunState.RUNNING, RunState.SUCCEEDED}

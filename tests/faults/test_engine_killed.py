"""The engine killed at the worst instant: runs go on, nothing runs twice, nothing is unaccounted for."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from installation import EVERY_SECOND, Installation, until

from keiji import engine_process
from keiji.records import Run
from keiji.states import ENDED, RunState
from keiji_engine.bus import protocol as p
from keiji_engine.bus.views import LinkChanged, LinkState

# How often to kill, times two: KEIJI_EXAMPLES=50 python -m pytest tests/faults/test_engine_killed.py -o timeout=0
EXAMPLES = int(os.environ.get("KEIJI_EXAMPLES", "1"))

SLEEPS = 2.2 if EXAMPLES == 1 else 10.0  # seconds

# Appends its run to a file, so that a run that happened twice would show.
TELLS = """
import os, time
def function():
    with open("ran", "a") as ran:
        ran.write(os.environ["KEIJI_RUN_ID"] + "\\n")
    print("begun", flush=True)
    time.sleep({seconds})
    print("ended")
    raise SystemExit({code})
"""


def test_runs_outlive_the_engine_and_the_next_one_records_their_end_or_can_still_stop_them(
    installation: Installation,
) -> None:
    installation.build("short", TELLS.format(seconds=1.0, code=7))
    installation.build("long", TELLS.format(seconds=60, code=0))
    installation.start()
    for slug in ("long", "short"):
        installation.do(p.RunTask(task=slug))
    for slug in ("long", "short"):
        until(lambda slug=slug: "begun" in installation.log(slug))
    installation.kill()
    until(lambda: 'msg="ended"' in installation.log("short"))
    until(lambda: any(file.read_bytes().count(b"\n") >= 2 for file in installation.paths.runs.iterdir()))
    installation.start()

    [run] = installation.ended("short")
    assert (run.state, run.exit_code) == (RunState.FAILED, 7)
    assert run.finished_at is not None
    assert run.started_at is not None
    assert 0.9 < (run.finished_at - run.started_at).total_seconds() < 10
    text = installation.log("short").encode()
    assert run.log_start is not None
    assert b'msg="begun"' in text[run.log_start : run.log_end]
    assert b'msg="ended"' in text[run.log_start : run.log_end]

    assert installation.task("long").is_running
    installation.do(p.StopRun(task="long"))
    [run] = installation.ended("long")
    assert run.state == RunState.STOPPED
    until(lambda: list(installation.paths.runs.iterdir()) == [])


def test_killed_at_random_instants_no_occurrence_runs_twice_and_all_are_accounted_for(
    installation: Installation,
) -> None:
    random.seed()
    names = [f"task{number}" for number in range(4)]
    for name in names:
        installation.build(name, TELLS.format(seconds=0.01, code=0), EVERY_SECOND)
    for _ in range(2 * EXAMPLES):
        installation.start()
        due = installation.task(names[-1]).next_execution_time
        assert due is not None
        # The worst instants lie where all are due: between the claim, the start, and the record of both.
        time.sleep(max((due - datetime.now(UTC)).total_seconds() + random.uniform(-0.01, 0.08), 0.0))
        installation.kill()
    installation.start()
    for name in names:
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


def assert_accounted_for(runs: Sequence[Run]) -> None:
    """Each second from the first to the last has a row, or is counted in one."""
    instants = sorted(run.scheduled_for for run in runs if run.scheduled_for is not None)
    count = sum(run.count for run in runs if run.scheduled_for is not None and run.attempt == 1)
    assert count == (instants[-1] - instants[0]).total_seconds() + 1


def test_an_engine_that_hangs_is_no_longer_trusted_comes_back_and_accounts_for_what_was_due_meanwhile(
    installation: Installation,
) -> None:
    import asyncio

    from keiji_engine.bus.client import Client

    installation.build("ping", TELLS.format(seconds=0.01, code=0), EVERY_SECOND)
    pid = installation.start()
    installation.ended("ping", 1)
    asleep: list[datetime] = []

    async def watch() -> list[LinkState]:
        seen = []
        async with Client(installation.paths, "test") as client, asyncio.timeout(SLEEPS + 20):
            async for update in client.watch():
                if not isinstance(update, LinkChanged):
                    continue
                seen.append(update.state)
                if seen[-2:] == [LinkState.CONNECTING, LinkState.LIVE]:
                    installation.signal(signal.SIGSTOP)
                    asleep.append(datetime.now(UTC))
                if update.state == LinkState.OFFLINE:
                    while datetime.now(UTC) < asleep[0] + timedelta(seconds=SLEEPS):
                        await asyncio.sleep(0.02)
                    asleep.append(datetime.now(UTC))
                    installation.signal(signal.SIGCONT)
                if LinkState.OFFLINE in seen and update.state == LinkState.LIVE:
                    return seen
        return seen

    assert asyncio.run(watch()) == [
        LinkState.CONNECTING,
        LinkState.LIVE,
        LinkState.STALE,
        LinkState.OFFLINE,
        LinkState.LIVE,
    ]
    note = engine_process.read_info(installation.paths)
    assert note is not None
    assert note.pid == pid

    awake = asleep[1]
    until(lambda: any(run.scheduled_for and run.scheduled_for > awake for run in installation.runs("ping")))
    installation.do(p.Disable(task="ping"))
    runs = installation.runs("ping")
    assert_accounted_for(runs)
    passed = [run for run in runs if run.state is RunState.COALESCED]
    assert len(passed) >= int(SLEEPS) - 1
    assert all("stands for it" in run.reason for run in passed)


def test_what_is_due_after_a_restart_is_not_held_up_by_a_run_that_ended_meanwhile(installation: Installation) -> None:
    installation.build("often", TELLS.format(seconds=1, code=0), "every(3).seconds")
    installation.start()
    installation.do(p.RunTask(task="often"))
    until(lambda: "begun" in installation.log("often"))
    installation.kill()
    due = installation.task("often").next_execution_time
    assert due is not None
    until(lambda: 'msg="ended"' in installation.log("often") and datetime.now(UTC) > due)
    installation.start()
    second = until(lambda: next((run for run in installation.runs("often") if run.scheduled_for == due), None))
    assert installation.runs("often")[0].state == RunState.SUCCEEDED
    assert second.state in {RunState.STARTING, RunState.RUNNING, RunState.SUCCEEDED}

"""The engine on PostgreSQL; all other tests run it on SQLite."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from installation import EVERY_SECOND, Installation

from keiji.reasons import render
from keiji.states import RunState
from keiji_engine.bus import protocol as p


def test_history_survives_a_kill_and_lost_connections_lose_no_instant(
    postgresql_url: str, installation: Installation, cut_connections: Callable[[], None]
) -> None:
    installation.write_settings(DB_URL=postgresql_url)
    installation.start()
    installation.build("fails", "def function():\n    1 / 0\n", policy="Policy(retry=Retry(tries=2))")
    installation.build("ping", schedule=EVERY_SECOND)
    installation.do(p.RunTask(task="fails"))
    installation.advance(1)
    assert [run.state for run in installation.ended("fails", 2)] == [RunState.FAILED, RunState.FAILED]
    assert "ZeroDivisionError" in render(installation.task("fails").error)
    installation.ended("ping", 1, RunState.SUCCEEDED)
    installation.kill()
    before = installation.runs("ping")
    installation.start()
    installation.advance(1)
    after = installation.wait_for_runs("ping", len(before) + 1, lambda run: True)
    assert [run.run_id for run in after][: len(before)] == [run.run_id for run in before]

    for _ in range(2):
        count = len(installation.runs("ping"))
        cut_connections()
        installation.clock.advance_to(installation.next_due("ping"))  # the scheduler looks at it within a second
        installation.wait_for_runs("ping", count + 1, lambda run: True)
    runs = [run for run in installation.runs("ping") if run.scheduled_for]
    for earlier, later in pairwise(runs):
        assert earlier.scheduled_for is not None
        assert later.scheduled_for is not None
        seconds = (later.scheduled_for - earlier.scheduled_for).total_seconds()
        assert seconds == 1 or (seconds > 1 and earlier.state == RunState.COALESCED)

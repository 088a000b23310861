"""The same engine on each database: its behaviour does not depend on the database."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from installation import EVERY_MINUTE, EVERY_SECOND, Installation

from keiji.reasons import render
from keiji.settings import Settings
from keiji.states import RunState
from keiji_engine.bus import protocol as p


@pytest.fixture
def on_database(empty: Settings, installation: Installation) -> Installation:
    installation.write_settings(DB_URL=empty.db_url)
    return installation


def test_tasks_are_built_run_and_retried_and_history_survives_a_kill(on_database: Installation) -> None:
    installation = on_database
    installation.build("ping", schedule=EVERY_MINUTE)
    installation.build("fails", "raise_at = 1 / 1\ndef function():\n    1 / 0\n", policy="Policy(retry=Retry(tries=2))")
    installation.start()
    installation.do(p.RunTask(task="fails"))
    assert [run.state for run in installation.ended("fails", 2)] == [RunState.FAILED, RunState.FAILED]
    assert "ZeroDivisionError" in render(installation.task("fails").error)
    installation.advance(60)
    installation.ended("ping", 1, RunState.SUCCEEDED)
    installation.kill()
    before = installation.runs("ping")
    installation.start()
    installation.advance(60)
    after = installation.wait_for_runs("ping", len(before) + 1, lambda run: True)
    assert [run.run_id for run in after][: len(before)] == [run.run_id for run in before]


def test_lost_database_connections_lose_no_instant(
    postgresql_url: str, installation: Installation, cut_connections: Callable[[], None]
) -> None:
    installation.write_settings(DB_URL=postgresql_url)
    installation.build("ping", schedule=EVERY_SECOND)
    installation.start()
    installation.advance(1)
    installation.ended("ping", 1)
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

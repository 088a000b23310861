"""Weeks of simulated time: every due instant has its row, none runs twice, and predictions come true."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from simulated import Simulation

# For more seeds: KEIJI_EXAMPLES=20 python -m pytest tests/integration/test_year.py -o timeout=0; KEIJI_SEED=7 for one.
_SEED = os.environ.get("KEIJI_SEED")
SEEDS = [int(_SEED)] if _SEED else range(int(os.environ.get("KEIJI_EXAMPLES", "1")))
DAYS = 38


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("begin", "limit"),
    [
        (datetime(2026, 3, 1, tzinfo=UTC), 0),  # clocks go forward in New York and Dublin, back on Lord Howe
        (datetime(2026, 9, 27, tzinfo=UTC), 2),  # and the other way round
    ],
)
async def test_every_instant_is_accounted_for_through_stops_crashes_suspends_and_clock_changes(
    tmp_path: Path, begin: datetime, limit: int, seed: int
) -> None:
    simulation = Simulation(tmp_path, tasks=9, seed=seed, limit=limit, begin=begin)
    await simulation.run(begin + timedelta(days=DAYS))
    # The simulation checks the invariants itself; these assertions make sure that there was something to check.
    assert simulation.check() > 2.5 * DAYS
    assert simulation.foreseen_right > 5
    assert len(simulation.seen) > 3, "hardly anything went wrong"
    simulation.store.close()

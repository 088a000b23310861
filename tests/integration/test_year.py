"""Months in seconds: whatever happens, each due instant has its row, none runs twice, what was foreseen comes true."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from simulated import Simulation

# More, and longer: KEIJI_EXAMPLES=20 python -m pytest tests/integration/test_year.py -o timeout=0
SEEDS = range(int(os.environ.get("KEIJI_EXAMPLES", "1")))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("begin", "limit"),
    [
        (datetime(2026, 2, 20, tzinfo=UTC), 0),  # clocks go forth in New York and Dublin, back on Lord Howe
        (datetime(2026, 9, 20, tzinfo=UTC), 2),  # and the other way round
    ],
)
async def test_through_stops_crashes_suspends_and_set_clocks_everything_is_accounted_for(
    tmp_path: Path, begin: datetime, limit: int, seed: int
) -> None:
    simulation = Simulation(tmp_path, tasks=9, seed=seed, limit=limit, begin=begin)
    await simulation.run(begin + timedelta(days=50))
    # What holds is checked inside; these only make sure that there was something to check, whatever the seed drew.
    assert simulation.check() > 150
    assert simulation.foreseen_right > 5
    assert len(simulation.seen) > 5, "hardly anything went wrong"
    simulation.store.close()

"""Months in seconds: each due instant has its row, no run starts twice, and previews come true, whatever happens."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from simulated import Simulation

# More seeds: KEIJI_EXAMPLES=20 python -m pytest tests/integration/test_year.py -o timeout=0
# A failure again: KEIJI_SEED=7 python -m pytest tests/integration/test_year.py
_SEED = os.environ.get("KEIJI_SEED")
SEEDS = [int(_SEED)] if _SEED else range(int(os.environ.get("KEIJI_EXAMPLES", "1")))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("begin", "limit"),
    [
        (datetime(2026, 2, 20, tzinfo=UTC), 0),  # daylight saving begins in New York and Dublin, ends on Lord Howe
        (datetime(2026, 9, 20, tzinfo=UTC), 2),  # the other way round
    ],
)
async def test_every_instant_is_accounted_for_despite_crashes_suspends_and_clock_changes(
    tmp_path: Path, begin: datetime, limit: int, seed: int
) -> None:
    print(f"KEIJI_SEED={seed}")  # noqa: T201 - pytest shows it if the test fails
    simulation = Simulation(tmp_path, tasks=9, seed=seed, limit=limit, begin=begin)
    try:
        await simulation.run(begin + timedelta(days=50))
        # The simulation checks what happens; these checks ensure that enough happened.
        assert simulation.check() > 150
        assert simulation.previews_confirmed > 5
        assert len(simulation.events) > 4, f"too few kinds of disturbances: {simulation.events}"
    finally:
        await simulation.close()

"""Months in seconds: each due instant has its row, no run starts twice, and previews come true, whatever happens."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from simulated import BEGIN, Simulation

from keiji import Policy, cron, every

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


@pytest.mark.parametrize("seed", SEEDS)
async def test_backfills_run_each_instant_once_beside_the_schedule_despite_everything(
    tmp_path: Path, seed: int
) -> None:
    print(f"KEIJI_SEED={seed}")  # noqa: T201 - pytest shows it if the test fails
    simulation = Simulation(
        tmp_path,
        tasks=5,
        seed=seed,
        limit=3,
        begin=datetime(2026, 3, 5, tzinfo=UTC),
        backfills=True,
        disturbance_days=0.3,
    )
    try:
        await simulation.run(simulation.begin + timedelta(days=15))
        simulation.check()
        assert simulation.check_backfills()
        assert any(series > 0 for _, _, series, _ in simulation.launched)
    finally:
        await simulation.close()


async def test_a_task_that_is_weeks_behind_does_not_delay_the_others(tmp_path: Path) -> None:
    schedules = (cron("* * * * * *"), every(3).hours, every(5).hours)
    simulation = Simulation(
        tmp_path, tasks=3, seed=1, schedule=lambda number: schedules[number], policy=Policy, durations=(1,)
    )
    try:
        await simulation.boot()
        # All are three weeks behind, but only the first one has a million instants to count.
        simulation.now = BEGIN + timedelta(days=21, hours=3)
        await simulation.scheduler.step()
        started = {slug for slug, instant, _, _ in simulation.launched if isinstance(instant, datetime)}
        assert started == {"task0001", "task0002"}
        behind = simulation.state.task("task0000") if simulation.state else None
        assert behind is not None
        assert behind.next_at is not None
        assert behind.next_at < simulation.now - timedelta(days=20), "it has not caught up yet"
    finally:
        await simulation.close()

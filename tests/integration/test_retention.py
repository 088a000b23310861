"""History does not grow without end, and pruning it holds nobody up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from installation import LIMIT

from keiji.paths import Paths
from keiji.policy import Policy
from keiji.records import Build
from keiji.schedule import ScheduleContext, every
from keiji.settings import Settings
from keiji.states import RunState
from keiji_engine.storage import retention
from keiji_engine.storage.async_store import AsyncStore
from keiji_engine.storage.retention import Retention
from keiji_engine.storage.store import Claim, Store

NOW = datetime(2026, 11, 23, 7, tzinfo=UTC)
COUNT = retention.BATCH + 300


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[AsyncStore]:
    paths = Paths.under(tmp_path)
    paths.create_folders()
    ledger = AsyncStore()
    await ledger.open(Settings(), paths)
    yield ledger
    await ledger.close()


def fill(store: Store, slug: str, count: int, begin: datetime) -> None:
    schedule = every(1).seconds.with_context(ScheduleContext(anchor=begin))
    build = Build(
        hash="a", command=("python",), files={}, schedule=schedule, policy=Policy(), import_seconds=0, created_at=begin
    )
    store.tasks.create(slug, slug, "", begin)
    store.tasks.activate(slug, build, schedule, begin, now=begin)
    moments = [begin + timedelta(seconds=number) for number in range(count)]
    claims = [Claim(task=slug, scheduled_for=at, next_at=None, state=RunState.SKIPPED, reason="-") for at in moments]
    for first in range(0, count, 100):
        store.runs.claim(claims[first : first + 100], moments[first])


async def pruned(ledger: AsyncStore, settings: Settings, slug: str, left: int) -> None:
    """Serve retention until so many runs of a task are left."""
    serving = Retention(
        ledger, lambda: settings, lambda: ["many", "old", "surplus"], lambda: NOW, lambda *_: None, pace=0, period=0.01
    )
    task = asyncio.create_task(serving.serve())
    async with asyncio.timeout(LIMIT):
        while len(await ledger.do(Store.runs, slug, 10_000)) != left:
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])


async def test_the_newest_runs_of_each_task_are_kept(ledger: AsyncStore) -> None:
    await ledger.do(fill, "many", COUNT, NOW)
    await ledger.do(fill, "old", 40, NOW)
    await pruned(ledger, Settings(keep_runs=50, keep_days=0), "many", 50)
    assert len(await ledger.do(Store.runs, "old", 100)) == 40
    [newest, *_] = await ledger.do(Store.runs, "many", 100)
    assert newest.scheduled_for == NOW + timedelta(seconds=COUNT - 1)


async def test_what_is_older_than_so_many_days_goes(ledger: AsyncStore) -> None:
    await ledger.do(fill, "old", COUNT, NOW - timedelta(days=9))
    await ledger.do(fill, "many", 40, NOW - timedelta(days=1))
    await pruned(ledger, Settings(keep_runs=0, keep_days=7), "old", 0)
    assert len(await ledger.do(Store.runs, "many", 100)) == 40


async def test_by_default_a_normal_history_stays_whole(ledger: AsyncStore) -> None:
    keep = Settings().keep_runs
    await ledger.do(fill, "many", 300, NOW)
    await ledger.do(fill, "old", 300, NOW - timedelta(days=9))
    await ledger.do(fill, "surplus", keep + 5, NOW)  # it is looked at last, so that its end is the end of a round
    await pruned(ledger, Settings(), "surplus", keep)
    for slug in ("many", "old"):
        assert len(await ledger.do(Store.runs, slug, 1000)) == 300

"""A query that is repeated under the same id is executed once."""

from __future__ import annotations

import asyncio

import pytest

from keiji.errors import KeijiError
from keiji_engine.bus import protocol as p
from keiji_engine.handlers.repeated_queries import MAX_KEPT, RepeatedQueries


class Execution:
    """A query that takes as long as a test wants."""

    def __init__(self, error: KeijiError | None = None) -> None:
        self.count = 0
        self.may_end = asyncio.Event()
        self.error = error

    async def __call__(self) -> p.AnyReply:
        self.count += 1
        number = self.count
        await self.may_end.wait()
        if self.error is not None:
            raise self.error
        return p.Explained(id="1", task=f"execution {number}", reasons=())


QUERY = p.Explain(id="1", task="ping")


async def test_a_query_that_is_repeated_while_it_is_in_progress_is_executed_once() -> None:
    queries, execution = RepeatedQueries(), Execution()
    asked = [asyncio.create_task(queries.answer(QUERY, execution)) for _ in range(4)]
    await asyncio.sleep(0)
    asked[0].cancel()  # its client has disconnected; another connection repeats the query
    execution.may_end.set()
    replies = await asyncio.gather(*asked[1:])
    assert execution.count == 1
    assert len(set(replies)) == 1


async def test_the_reply_to_a_slow_query_is_kept_for_a_moment() -> None:
    queries, execution = RepeatedQueries(slow_after=0.0, keep_seconds=0.05), Execution()
    execution.may_end.set()
    first = await queries.answer(QUERY, execution)
    assert await queries.answer(QUERY, execution) == first
    async with asyncio.timeout(10):
        while await queries.answer(QUERY, execution) == first:
            await asyncio.sleep(0.005)


async def test_a_fast_query_and_one_that_failed_are_executed_again() -> None:
    queries, execution = RepeatedQueries(), Execution()
    execution.may_end.set()
    assert await queries.answer(QUERY, execution) != await queries.answer(QUERY, execution)
    queries, execution = RepeatedQueries(slow_after=0.0), Execution(KeijiError("no"))
    execution.may_end.set()
    for _ in range(2):
        with pytest.raises(KeijiError):
            await queries.answer(QUERY, execution)
    assert execution.count == 2


async def test_another_query_with_the_same_id_gets_its_own_reply() -> None:
    queries, execution = RepeatedQueries(slow_after=0.0), Execution()
    execution.may_end.set()
    await queries.answer(QUERY, execution)
    await queries.answer(p.Explain(id="1", task="pong"), execution)
    await queries.answer(p.GetBuild(id="1", task="ping"), execution)
    assert execution.count == 3


async def test_the_number_of_kept_replies_is_bounded() -> None:
    queries, execution = RepeatedQueries(slow_after=0.0), Execution()
    execution.may_end.set()
    requests = [p.Explain(task="ping") for _ in range(MAX_KEPT + 1)]
    for request in requests:
        await queries.answer(request, execution)
    await queries.answer(requests[-1], execution)
    assert execution.count == len(requests)
    await queries.answer(requests[0], execution)
    assert execution.count == len(requests) + 1

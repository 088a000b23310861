"""Answers a query that a client repeats, because the reply takes long or was lost, without executing it again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from keiji_engine.bus import protocol as p

SLOW_AFTER = 0.5  # seconds; the reply to a query that took longer is kept, since the client may have repeated it
KEEP_SECONDS = 5.0
MAX_KEPT = 32


class RepeatedQueries:
    """The queries in progress, and for a moment the replies to those that were slow.

    A query is known by its id, its type and its fields, so a client that reuses an id still gets the right reply.
    """

    def __init__(self, *, slow_after: float = SLOW_AFTER, keep_seconds: float = KEEP_SECONDS) -> None:
        self._slow_after = slow_after
        self._keep_seconds = keep_seconds
        self._queries: dict[p.Request[p.Reply], asyncio.Task[p.AnyReply]] = {}

    async def answer(self, request: p.Request[p.Reply], execute: Callable[[], Awaitable[p.AnyReply]]) -> p.AnyReply:
        """Return the reply of ``execute``, which is not called if the same query is in progress or was answered.

        A caller that is cancelled does not cancel the query. Raises what ``execute`` raises.
        """
        query = self._queries.get(request)
        if query is None:
            query = self._queries[request] = asyncio.create_task(self._execute(request, execute))
            query.add_done_callback(lambda done: done.cancelled() or done.exception())  # its callers may be gone
        return await asyncio.shield(query)

    async def _execute(self, request: p.Request[p.Reply], execute: Callable[[], Awaitable[p.AnyReply]]) -> p.AnyReply:
        started_at = time.monotonic()
        keep_seconds = 0.0
        try:
            reply = await execute()
            keep_seconds = self._keep_seconds if time.monotonic() - started_at > self._slow_after else 0.0
            return reply
        finally:
            if keep_seconds:
                self._drop_surplus()
                asyncio.get_running_loop().call_later(keep_seconds, self._queries.pop, request, None)
            else:
                self._queries.pop(request, None)

    def _drop_surplus(self) -> None:
        """Make room for the reply to the query that is about to end."""
        answered = [request for request, query in self._queries.items() if query.done()]
        for request in answered[: max(0, len(answered) + 1 - MAX_KEPT)]:
            del self._queries[request]

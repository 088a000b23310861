"""Server and client over real sockets; only what answers behind the server is made for the test."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import zmq
import zmq.asyncio

from keiji import engine_process
from keiji.errors import EngineOffline, KeijiError, TaskNotFound
from keiji.paths import Paths
from keiji_engine.bus import protocol as p
from keiji_engine.bus.client import Client, Update
from keiji_engine.bus.server import BusServer
from keiji_engine.bus.views import EngineView, LinkChanged, LinkState

LIMIT = 10.0


class Logs:
    """The log of one task, in memory, as a stream of bytes."""

    def __init__(self) -> None:
        self.data = b""

    def has(self, task: str) -> bool:
        return task == "ping"

    def size(self, task: str) -> int:
        return len(self.data)

    def read(self, task: str, position: int, limit: int) -> tuple[int, int, str]:
        piece = self.data[position : position + limit]
        return position, position + len(piece), piece.decode()


class Engine:
    """A bus with a counter behind it."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.logs = Logs()
        self.calls: list[p.AnyRequest] = []
        self.slow = asyncio.Event()
        self.server = BusServer(paths, "boot-1", self.answer, self.logs, lambda text: None)
        self._task: asyncio.Task[None] | None = None

    async def answer(self, request: p.AnyRequest) -> p.AnyReply:
        self.calls.append(request)
        if isinstance(request, p.GetSnapshot):
            return p.Snapshot(
                id=request.id, boot="boot-1", seq=self.server.seq, engine=self.view(), services=(), tasks=()
            )
        if isinstance(request, p.ReadLog):
            begin = 0 if request.position is None else request.position
            begin, end, text = self.logs.read(request.task, begin, request.limit)
            size = self.logs.size(request.task)
            return p.LogSlice(id=request.id, task=request.task, position=begin, end=end, size=size, text=text)
        if isinstance(request, p.Enable):
            raise TaskNotFound("there is no task 'pong'", hint="did you mean 'ping'?")
        if isinstance(request, p.BuildTask):
            return p.Accepted(id=request.id)
        if isinstance(request, p.GetDirective):
            await self.slow.wait()
            return p.Done(id=request.id, lines=("built",))
        if isinstance(request, p.Disable):
            raise ZeroDivisionError("a fault of ours")
        return p.Pong(id=request.id, engine=self.view())

    def view(self) -> EngineView:
        moment = datetime(2026, 1, 1, tzinfo=UTC)
        return EngineView(
            pid=os.getpid(), version="1", boot="boot-1", started_at=moment, workspace="", database="", time_zone="UTC"
        )

    async def start(self) -> None:
        ready = asyncio.Event()
        self._task = asyncio.create_task(self.server.serve(ready.set))
        await asyncio.wait_for(ready.wait(), LIMIT)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths.under(tmp_path)
    paths.create_folders()
    return paths


@pytest.fixture
async def engine(paths: Paths) -> AsyncIterator[Engine]:
    with engine_process.hold_engine_lock(paths):
        engine = Engine(paths)
        await engine.start()
        yield engine
        await engine.stop()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT):
        while not condition():
            await asyncio.sleep(0.005)


class Watcher:
    """Collects what a client sees."""

    def __init__(self, client: Client) -> None:
        self.seen: list[Update] = []
        self._task = asyncio.create_task(self._collect(client))

    async def _collect(self, client: Client) -> None:
        async for update in client.watch():
            self.seen.append(update)

    def links(self) -> list[LinkState]:
        return [update.state for update in self.seen if isinstance(update, LinkChanged)]

    def numbers(self) -> list[int]:
        return [update.seq for update in self.seen if isinstance(update, p.Snapshot | p.Delta)]

    async def close(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


@contextlib.asynccontextmanager
async def watching(paths: Paths) -> AsyncIterator[Watcher]:
    async with Client(paths, "test") as client:
        watcher = Watcher(client)
        try:
            yield watcher
        finally:
            await watcher.close()


async def test_a_request_is_answered(engine: Engine, paths: Paths) -> None:
    async with Client(paths, "test") as client:
        assert isinstance(await client.ask(p.Ping(id="1")), p.Pong)
    assert engine.calls == [p.Ping(id="1", sender="test")]


async def test_a_refusal_arrives_as_the_error_it_is(engine: Engine, paths: Paths) -> None:
    async with Client(paths, "test") as client:
        with pytest.raises(TaskNotFound, match="there is no task 'pong'\ndid you mean 'ping'\\?"):
            await client.ask(p.Enable(task="pong"))


async def test_a_fault_of_the_engine_is_told_and_ends_nothing(engine: Engine, paths: Paths) -> None:
    async with Client(paths, "test") as client:
        with pytest.raises(KeijiError, match="internal error"):
            await client.ask(p.Disable(task="ping"))
        assert isinstance(await client.ask(p.Ping()), p.Pong)


async def test_a_slow_directive_is_accepted_and_then_awaited(engine: Engine, paths: Paths) -> None:
    async with Client(paths, "test") as client:
        settling = asyncio.create_task(client.settle(p.BuildTask(task="ping")))
        await until(lambda: any(isinstance(call, p.GetDirective) for call in engine.calls))
        assert not settling.done()
        engine.slow.set()
        assert (await settling).lines == ("built",)


async def test_no_engine_is_noticed_without_waiting(paths: Paths) -> None:
    async with Client(paths, "test") as client:
        with pytest.raises(EngineOffline):
            await client.ask(p.Ping(), limit=1e6)


async def test_sockets_are_for_their_owner_alone(engine: Engine, paths: Paths) -> None:
    for socket in (paths.control, paths.state, paths.log):
        assert socket.stat().st_mode & 0o777 == 0o600
    assert paths.runtime.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "frames",
    [[b""], [b"", b"1"], [b"x"] * 50, [b"", b"1", b"\xff\xfe"], [b"", b"9", b"{}"], [b"", b"1", b"x" * 100_000]],
)
async def test_malformed_frames_leave_the_engine_as_it_was(engine: Engine, paths: Paths, frames: list[bytes]) -> None:
    with zmq.asyncio.Context() as context, context.socket(zmq.DEALER) as rude:
        rude.linger = 0
        rude.connect(f"ipc://{paths.control}")
        await rude.send_multipart(frames)
        await until(lambda: engine.server.dropped == 1)
    async with Client(paths, "test") as client:
        assert isinstance(await client.ask(p.Ping()), p.Pong)


async def test_a_message_beyond_the_limit_costs_its_sender_the_connection_and_nobody_else(
    engine: Engine, paths: Paths
) -> None:
    with zmq.asyncio.Context() as context, context.socket(zmq.DEALER) as rude:
        rude.linger = 0
        rude.connect(f"ipc://{paths.control}")
        await rude.send_multipart([b"", b"1", b"x" * (4 * p.LARGEST_REQUEST)])
        async with Client(paths, "test") as client:
            assert isinstance(await client.ask(p.Ping()), p.Pong)
    assert engine.calls[-1] == p.Ping(id=engine.calls[-1].id, sender="test")


async def test_joining_during_a_stream_of_events_misses_none(engine: Engine, paths: Paths) -> None:
    stop = asyncio.Event()

    async def publish() -> None:
        while not stop.is_set():
            engine.server.publish(p.TaskRemoved(slug="x"))
            await asyncio.sleep(0)

    publishing = asyncio.create_task(publish())
    for _ in range(10):
        async with watching(paths) as watcher:
            await until(lambda: len(watcher.numbers()) > 100)
            numbers = watcher.numbers()
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    stop.set()
    await publishing


async def test_a_stopped_bus_is_stale_then_offline_and_comes_back_with_a_new_snapshot(
    engine: Engine, paths: Paths
) -> None:
    async with watching(paths) as watcher:
        await until(lambda: LinkState.LIVE in watcher.links())
        await engine.stop()
        engine.server.publish(p.TaskRemoved(slug="unseen"))
        await until(lambda: LinkState.OFFLINE in watcher.links())
        await engine.start()
        await until(lambda: watcher.links()[-1] == LinkState.LIVE)
    assert watcher.links() == [
        LinkState.CONNECTING,
        LinkState.LIVE,
        LinkState.STALE,
        LinkState.OFFLINE,
        LinkState.LIVE,
    ]
    assert [update.seq for update in watcher.seen if isinstance(update, p.Snapshot)] == [0, 1]


async def test_a_log_is_followed_from_its_tail_without_a_gap(engine: Engine, paths: Paths) -> None:
    engine.logs.data = b"".join(b"line %d\n" % number for number in range(1000))
    seen = ""

    async def follow() -> None:
        nonlocal seen
        async with Client(paths, "test") as client:
            async for piece in client.follow("ping"):
                assert piece.position == len(seen.encode()), "a gap, or the same again"
                seen += piece.text

    following = asyncio.create_task(follow())
    for number in range(1000, 1500):
        engine.logs.data += b"line %d\n" % number
        await asyncio.sleep(0)
    await until(lambda: seen.encode() == engine.logs.data)
    engine.logs.data += "last ünïcödé\n".encode()
    await until(lambda: seen.encode() == engine.logs.data)
    following.cancel()


async def test_a_reader_far_behind_skips_to_the_tail_and_can_tell_by_how_much(engine: Engine, paths: Paths) -> None:
    pieces: list[p.LogSlice | p.LogChunk] = []

    async def follow() -> None:
        async with Client(paths, "test") as client:
            async for piece in client.follow("ping"):
                pieces.append(piece)

    following = asyncio.create_task(follow())
    await until(lambda: bool(pieces))
    engine.logs.data = b"x" * 99 + b"\n"
    engine.logs.data *= 50_000
    await until(lambda: bool(pieces) and pieces[-1].end == len(engine.logs.data))
    assert any(later.position > earlier.end for earlier, later in itertools.pairwise(pieces))
    assert sum(len(piece.text) for piece in pieces) < 2_000_000
    following.cancel()


async def test_a_flood_of_logs_delays_no_heartbeat(engine: Engine, paths: Paths) -> None:
    async with watching(paths) as watcher, Client(paths, "test") as client:

        async def follow() -> None:
            async for _ in client.follow("ping"):
                pass

        following = asyncio.create_task(follow())
        await until(lambda: LinkState.LIVE in watcher.links())

        def beats() -> int:
            engine.logs.data += b"x" * 63 + b"\n"
            engine.logs.data = engine.logs.data[:1] + engine.logs.data  # grows at each look
            return sum(isinstance(update, p.Heartbeat) for update in watcher.seen)

        await until(lambda: beats() >= 2)
        assert LinkState.STALE not in watcher.links()
        following.cancel()


async def test_a_plain_req_socket_of_ten_lines_is_served(engine: Engine, paths: Paths) -> None:
    with zmq.asyncio.Context() as context, context.socket(zmq.REQ) as req:
        req.linger = 0
        req.connect(f"ipc://{paths.control}")
        await req.send_multipart([b"1", b'{"type": "ping", "id": "1"}'])
        async with asyncio.timeout(LIMIT):
            version, body = await req.recv_multipart()
    assert version == b"1"
    assert b'"type":"pong"' in body

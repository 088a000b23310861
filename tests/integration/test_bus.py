"""Server and client over real sockets. Only the handler behind the server is a stand-in."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import logging
import os
import resource
import shutil
import socket
import tempfile
import tracemalloc
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import zmq
import zmq.asyncio

from keiji import engine_process
from keiji.errors import EngineOffline, KeijiError, ProtocolError, TaskNotFound
from keiji.paths import Paths
from keiji_engine.bus import protocol as p
from keiji_engine.bus.client import Client, Update
from keiji_engine.bus.listener import Listener
from keiji_engine.bus.security import Peer, user_name
from keiji_engine.bus.server import BusServer
from keiji_engine.bus.views import EngineView, LinkChanged, LinkState
from keiji_engine.bus.zmtp import ROUTER

TIMEOUT = 10.0


class Logs:
    """The log of one task, in memory, as a stream of bytes."""

    def __init__(self) -> None:
        self.data = b""

    def exists(self, task: str) -> bool:
        return task == "ping"

    def size(self, task: str) -> int:
        return len(self.data)

    def read(self, task: str, position: int, limit: int) -> tuple[int, int, str]:
        data = self.data[position : position + limit]
        return position, position + len(data), data.decode()


class Engine:
    """A bus server that records the requests and answers them itself."""

    def __init__(self, paths: Paths, max_connections: int | None = None) -> None:
        self.paths = paths
        self.logs = Logs()
        self.requests: list[p.AnyRequest] = []
        self.peers: list[Peer] = []
        self.is_built = asyncio.Event()
        self.server = BusServer(
            paths, "boot-1", self.answer, self.logs, heartbeat_interval=0.1, max_connections=max_connections
        )
        self._task: asyncio.Task[None] | None = None

    async def answer(self, request: p.AnyRequest, peer: Peer) -> p.AnyReply:
        self.requests.append(request)
        self.peers.append(peer)
        if isinstance(request, p.GetSnapshot):
            return p.Snapshot(
                id=request.id, boot="boot-1", seq=self.server.seq, engine=self.view(), services=(), tasks=()
            )
        if isinstance(request, p.ReadLog):
            start, end, text = self.logs.read(request.task, request.position or 0, request.limit)
            size = self.logs.size(request.task)
            return p.LogSlice(id=request.id, task=request.task, position=start, end=end, size=size, text=text)
        if isinstance(request, p.Enable):
            raise TaskNotFound("there is no task 'pong'", hint="did you mean 'ping'?")
        if isinstance(request, p.BuildTask):
            return p.Accepted(id=request.id)
        if isinstance(request, p.GetDirective):
            await self.is_built.wait()
            return p.Done(id=request.id, lines=("built",))
        if isinstance(request, p.Disable):
            raise ZeroDivisionError("an internal error")
        return p.Pong(id=request.id, engine=self.view())

    def view(self) -> EngineView:
        moment = datetime(2026, 1, 1, tzinfo=UTC)
        return EngineView(
            pid=os.getpid(), version="1", boot="boot-1", started_at=moment, workspace="", database="", time_zone="UTC"
        )

    async def start(self) -> None:
        ready = asyncio.Event()
        self._task = asyncio.create_task(self.server.serve(ready.set))
        await asyncio.wait_for(ready.wait(), TIMEOUT)

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
    async with asyncio.timeout(TIMEOUT):
        while not condition():
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def dealer(paths: Paths) -> AsyncIterator[zmq.asyncio.Socket]:
    """Connect a plain socket that can send anything."""
    with zmq.asyncio.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        socket.connect(f"ipc://{paths.control_socket}")
        yield socket


class UpdateCollector:
    """Collects the updates that a client receives."""

    def __init__(self, client: Client) -> None:
        self.updates: list[Update] = []
        self._task = asyncio.create_task(self._collect(client))

    async def _collect(self, client: Client) -> None:
        async for update in client.watch():
            self.updates.append(update)

    def links(self) -> list[LinkState]:
        return [update.state for update in self.updates if isinstance(update, LinkChanged)]

    def sequence(self) -> list[int]:
        return [update.seq for update in self.updates if isinstance(update, p.Snapshot | p.Delta)]

    async def close(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


@contextlib.asynccontextmanager
async def watching(paths: Paths, **limits: float) -> AsyncIterator[UpdateCollector]:
    async with Client(paths, "test", **limits) as client:
        collector = UpdateCollector(client)
        try:
            yield collector
        finally:
            await collector.close()


async def test_a_request_is_answered(engine: Engine, paths: Paths) -> None:
    async with Client(paths, "test") as client:
        assert (await client.ask(p.Ping(id="1"))).engine.pid == os.getpid()
    assert [(request.id, request.sender) for request in engine.requests] == [("1", "test")]


async def test_the_peer_of_a_request_is_the_user_of_the_client_process(engine: Engine, paths: Paths) -> None:
    async with Client(paths, "test") as client:
        await client.ask(p.Ping())
        await client.ask(p.Ping())
    assert engine.peers == [Peer(os.geteuid(), user_name(os.geteuid()))] * 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can connect as another user")
async def test_the_peer_of_a_request_from_another_user_is_that_user(tmp_path: Path) -> None:
    other_uid = 65534
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        paths = Paths.under(Path(folder))
        paths.create_folders()
        with engine_process.hold_engine_lock(paths):
            engine = Engine(paths)
            await engine.start()
            for path in (paths.runtime, *paths.runtime.parents):
                if path.is_relative_to(folder):
                    path.chmod(0o755)
            paths.control_socket.chmod(0o666)
            with zmq.asyncio.Context() as context, context.socket(zmq.REQ) as req:
                req.linger = 0
                # The kernel takes the credentials of a connection from the process at the time of the connect.
                os.seteuid(other_uid)
                try:
                    req.connect(f"ipc://{paths.control_socket}")
                    await req.send_multipart(p.encode(p.Ping()))
                    async with asyncio.timeout(TIMEOUT):
                        await req.recv_multipart()
                finally:
                    os.seteuid(0)
            await engine.stop()
    assert engine.peers == [Peer(other_uid, user_name(other_uid))]


async def test_a_request_has_the_user_who_started_the_client_with_sudo(
    engine: Engine, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "ann")
    async with Client(paths, "test") as client:
        await client.ask(p.Ping())
    assert [request.sudo_user for request in engine.requests] == ["ann"]


async def test_a_reply_of_another_type_than_the_request_declares_is_an_error(engine: Engine, paths: Paths) -> None:
    async with Client(paths, "test") as client:
        with pytest.raises(ProtocolError, match="answered get-tasks with pong instead of tasks"):
            await client.ask(p.GetTasks())


async def test_a_refusal_is_raised_as_the_original_error(engine: Engine, paths: Paths) -> None:
    async with Client(paths, "test") as client:
        with pytest.raises(TaskNotFound, match="there is no task 'pong'\ndid you mean 'ping'\\?"):
            await client.ask(p.Enable(task="pong"))


async def test_an_internal_error_is_logged_and_fails_only_its_request(
    engine: Engine, paths: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    async with Client(paths, "test") as client:
        with pytest.raises(KeijiError, match="internal error"):
            await client.ask(p.Disable(task="ping"))
        await client.ask(p.Ping())
    [record] = caplog.records
    assert record.getMessage() == "internal error in disable"
    assert "ZeroDivisionError: an internal error" in caplog.text


async def test_execute_waits_for_the_outcome_of_an_accepted_directive(engine: Engine, paths: Paths) -> None:
    async with Client(paths, "test") as client:
        executing = asyncio.create_task(client.execute(p.BuildTask(task="ping")))
        await until(lambda: any(isinstance(request, p.GetDirective) for request in engine.requests))
        assert not executing.done()
        engine.is_built.set()
        assert (await executing).lines == ("built",)


async def test_a_missing_engine_is_detected_without_a_timeout(paths: Paths) -> None:
    async with Client(paths, "test") as client:
        with pytest.raises(EngineOffline):
            await client.ask(p.Ping(), timeout=1e6)


async def test_only_the_owner_can_use_the_sockets(engine: Engine, paths: Paths) -> None:
    for path in (paths.control_socket, paths.state_socket, paths.log_socket):
        assert path.stat().st_mode & 0o777 == 0o600
    assert paths.runtime.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("frames", [[b""], [b"", b"1"], [b"x"] * 50])
async def test_a_request_with_a_wrong_number_of_frames_is_dropped(
    engine: Engine, paths: Paths, frames: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "keiji.bus")
    async with dealer(paths) as socket:
        await socket.send_multipart(frames)
        await until(lambda: "dropped a malformed request" in caplog.text)
    async with Client(paths, "test") as client:
        await client.ask(p.Ping())


@pytest.mark.parametrize("frames", [[b"1", b"\xff\xfe"], [b"9", b"{}"], [b"1", b"x" * 100_000]])
async def test_a_request_that_cannot_be_decoded_is_refused(engine: Engine, paths: Paths, frames: list[bytes]) -> None:
    async with dealer(paths) as socket:
        await socket.send_multipart([b"", *frames])
        async with asyncio.timeout(TIMEOUT):
            reply = p.decode_reply((await socket.recv_multipart())[1:])
    assert isinstance(reply, p.Refused)
    assert reply.code == "protocol"
    async with Client(paths, "test") as client:
        await client.ask(p.Ping())


async def test_an_oversized_message_closes_only_the_connection_of_its_sender(engine: Engine, paths: Paths) -> None:
    async with dealer(paths) as socket:
        await socket.send_multipart([b"", b"1", b"x" * (4 * p.MAX_REQUEST_BYTES)])
        async with Client(paths, "test") as client:
            await client.ask(p.Ping(id="1"))
    assert [request.id for request in engine.requests] == ["1"]


async def test_a_message_of_endless_frames_closes_only_the_connection_of_its_sender(
    engine: Engine, paths: Paths
) -> None:
    async with dealer(paths) as socket:
        await socket.send_multipart([b"x" * 60_000] * 100)
        async with Client(paths, "test") as client:
            await client.ask(p.Ping(id="1"))
    assert [request.id for request in engine.requests] == ["1"]


def count_descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


@contextlib.asynccontextmanager
async def serving(paths: Paths, **options: int) -> AsyncIterator[Engine]:
    """Run an engine with other limits than the fixture's."""
    with engine_process.hold_engine_lock(paths):
        engine = Engine(paths, **options)
        await engine.start()
        try:
            yield engine
        finally:
            await engine.stop()


async def test_connections_without_a_client_make_room_for_clients(paths: Paths) -> None:
    async with serving(paths, max_connections=8):
        before = count_descriptors()
        with contextlib.ExitStack() as sockets:
            for _ in range(300):
                connection = sockets.enter_context(socket.socket(socket.AF_UNIX))
                connection.connect(str(paths.control_socket))
                await asyncio.sleep(0)
            async with Client(paths, "test") as client:
                assert isinstance(await client.ask(p.Ping()), p.Pong)
            assert count_descriptors() - before <= 300 + 8


async def test_a_client_that_waits_for_an_answer_keeps_its_connection(paths: Paths) -> None:
    async with serving(paths, max_connections=4) as engine, dealer(paths) as waiting:
        await waiting.send_multipart([b"", *p.encode(p.GetDirective(directive="1"))])
        await until(lambda: bool(engine.requests))
        async with contextlib.AsyncExitStack() as clients:
            for _ in range(10):
                await (await clients.enter_async_context(Client(paths, "test"))).ask(p.Ping())
        engine.is_built.set()
        async with asyncio.timeout(TIMEOUT):
            assert isinstance(p.decode_reply((await waiting.recv_multipart())[1:]), p.Done)


async def test_subscribers_keep_their_connections_and_further_ones_are_rejected(paths: Paths) -> None:
    async with serving(paths, max_connections=2), watching(paths) as first, watching(paths) as second:
        await until(lambda: LinkState.LIVE in first.links() and LinkState.LIVE in second.links())
        with socket.socket(socket.AF_UNIX) as third:
            third.connect(str(paths.state_socket))
            await until_closed(third)
        count = len(first.updates)
        await until(lambda: len(first.updates) > count + 2)
        assert {LinkState.STALE, LinkState.OFFLINE}.isdisjoint(first.links() + second.links())


async def test_when_the_descriptors_run_out_connections_are_rejected_until_there_are_some(
    engine: Engine, paths: Paths
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with dealer(paths) as client:
        assert isinstance(await ping(client), p.Pong)
        with contextlib.ExitStack() as files:
            connections = [files.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(5)]
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (count_descriptors() + 10, hard))
                with contextlib.suppress(OSError):
                    while True:
                        files.enter_context(Path(os.devnull).open())
                for connection in connections:
                    connection.connect(str(paths.control_socket))
                    await until_closed(connection)
                assert isinstance(await ping(client), p.Pong)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    async with dealer(paths) as client:
        assert isinstance(await ping(client), p.Pong)


async def ping(client: zmq.asyncio.Socket) -> p.AnyReply:
    async with asyncio.timeout(TIMEOUT):
        await client.send_multipart([b"", *p.encode(p.Ping())])
        return p.decode_reply((await client.recv_multipart())[1:])


async def until_closed(connection: socket.socket) -> None:
    """Wait until the server has closed a connection."""
    connection.setblocking(False)
    async with asyncio.timeout(TIMEOUT):
        with contextlib.suppress(ConnectionError):
            while await asyncio.get_running_loop().sock_recv(connection, 1000):
                pass


async def test_a_connection_without_a_handshake_is_closed_after_a_while(paths: Paths) -> None:
    listener = Listener(paths.control_socket, ROUTER, max_connections=5, max_bytes=1000, handshake_timeout=0.05)
    await listener.open()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(paths.control_socket))
        await until_closed(connection)
    await listener.close()


async def test_a_client_that_reads_no_replies_does_not_fill_the_memory(engine: Engine, paths: Paths) -> None:
    engine.logs.data = b"x" * 99_999 + b"\n"
    request = p.encode(p.ReadLog(task="ping", position=0, limit=100_000))
    with zmq.Context() as context, context.socket(zmq.DEALER) as client:
        client.linger = 0
        client.rcvhwm = 1
        client.connect(f"ipc://{paths.control_socket}")
        tracemalloc.start()
        try:
            for _ in range(1000):
                client.send_multipart([b"", *request])
            await until(lambda: len(engine.requests) > 10)
            for _ in range(200):
                await asyncio.sleep(0)
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert kept < 10_000_000, "of 100 MB that were requested"
        for _ in range(1000):  # once it reads, it gets every reply
            assert client.poll(0) or await asyncio.to_thread(client.poll, TIMEOUT * 1000)
            client.recv_multipart()
    assert len(engine.requests) == 1000


async def test_subscribers_that_read_nothing_do_not_fill_the_memory(engine: Engine, paths: Paths) -> None:
    event = p.TaskRemoved(slug="x" * 100_000)
    with zmq.Context() as context, contextlib.ExitStack() as sockets:
        for _ in range(3):
            subscriber = sockets.enter_context(context.socket(zmq.SUB))
            subscriber.rcvhwm = 1
            subscriber.rcvbuf = 10_000
            subscriber.subscribe(p.TOPIC_EVENT)
            subscriber.subscribe(p.TOPIC_SUBSCRIBED)
            subscriber.connect(f"ipc://{paths.state_socket}")
            await until(lambda: bool(subscriber.poll(0)))  # noqa: B023 - called within the iteration
        tracemalloc.start()
        try:
            for _ in range(1000):
                engine.server.publish(event)
                await asyncio.sleep(0)
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert kept < 40_000_000, "of 300 MB that were published"


async def test_a_client_that_subscribes_during_a_stream_of_events_misses_none(engine: Engine, paths: Paths) -> None:
    stop = asyncio.Event()

    async def publish() -> None:
        while not stop.is_set():
            engine.server.publish(p.TaskRemoved(slug="x"))
            await asyncio.sleep(0)

    publishing = asyncio.create_task(publish())
    for _ in range(10):
        async with watching(paths) as collector:
            await until(lambda: len(collector.sequence()) > 100)
            sequence = collector.sequence()
            assert sequence == list(range(sequence[0], sequence[0] + len(sequence)))
    stop.set()
    await publishing


async def test_a_stopped_bus_is_stale_then_offline_then_live_again_with_a_new_snapshot(
    engine: Engine, paths: Paths
) -> None:
    async with watching(paths, stale_after=0.3, offline_after=0.7) as collector:
        await until(lambda: LinkState.LIVE in collector.links())
        await engine.stop()
        engine.server.publish(p.TaskRemoved(slug="unseen"))
        await until(lambda: LinkState.OFFLINE in collector.links())
        await engine.start()
        await until(lambda: collector.links()[-1] == LinkState.LIVE)
    assert collector.links() == [
        LinkState.CONNECTING,
        LinkState.LIVE,
        LinkState.STALE,
        LinkState.OFFLINE,
        LinkState.LIVE,
    ]
    assert [update.seq for update in collector.updates if isinstance(update, p.Snapshot)] == [0, 1]


async def test_a_client_follows_the_sockets_when_they_are_deleted_and_when_the_next_engine_has_them_elsewhere(
    paths: Paths,
) -> None:
    async with Client(paths, "test") as client, asyncio.timeout(TIMEOUT):
        updates = client.watch()

        async def next_snapshot() -> p.Snapshot:
            return await anext(update async for update in updates if isinstance(update, p.Snapshot))

        with engine_process.hold_engine_lock(paths):
            engine = Engine(paths)
            await engine.start()
            await next_snapshot()
            shutil.rmtree(paths.runtime)
            assert not engine.server.is_in_place()
            await engine.server.restore(paths)
            assert engine.server.is_in_place()
            async with Client(paths, "another") as other:
                await other.ask(p.Ping())
            engine.server.publish(p.EngineStopping())
            assert isinstance(await anext(update async for update in updates if isinstance(update, p.Delta)), p.Delta)
            await engine.stop()
        moved = dataclasses.replace(paths, runtime=paths.data / "elsewhere")
        with engine_process.hold_engine_lock(moved):
            engine = Engine(moved)
            await engine.start()
            await next_snapshot()
            await client.ask(p.Ping())
            await engine.stop()


async def test_a_log_is_followed_without_a_gap(engine: Engine, paths: Paths) -> None:
    engine.logs.data = b"".join(b"line %d\n" % number for number in range(1000))
    text = ""

    async def follow() -> None:
        nonlocal text
        async with Client(paths, "test") as client:
            async for part in client.follow("ping"):
                assert part.position == len(text.encode()), "a gap or an overlap"
                text += part.text

    following = asyncio.create_task(follow())
    for number in range(1000, 1500):
        engine.logs.data += b"line %d\n" % number
        await asyncio.sleep(0)
    await until(lambda: text.encode() == engine.logs.data)
    engine.logs.data += "last ünïcödé\n".encode()
    await until(lambda: text.encode() == engine.logs.data)
    following.cancel()


async def test_a_follower_that_is_far_behind_skips_to_the_tail(engine: Engine, paths: Paths) -> None:
    parts: list[p.LogSlice | p.LogChunk] = []

    async def follow() -> None:
        async with Client(paths, "test") as client:
            async for part in client.follow("ping"):
                parts.append(part)

    following = asyncio.create_task(follow())
    await until(lambda: bool(parts))
    engine.logs.data = b"x" * 99 + b"\n"
    engine.logs.data *= 50_000
    await until(lambda: bool(parts) and parts[-1].end == len(engine.logs.data))
    assert any(later.position > earlier.end for earlier, later in itertools.pairwise(parts))
    assert sum(len(part.text) for part in parts) < 2_000_000
    following.cancel()


async def test_a_flood_of_log_text_does_not_delay_heartbeats(engine: Engine, paths: Paths) -> None:
    async with watching(paths) as collector, Client(paths, "test") as client:

        async def follow() -> None:
            async for _ in client.follow("ping"):
                pass

        following = asyncio.create_task(follow())
        await until(lambda: LinkState.LIVE in collector.links())

        def heartbeats() -> int:
            engine.logs.data += b"x" * 63 + b"\n"
            engine.logs.data = engine.logs.data[:1] + engine.logs.data  # grows with each call
            return sum(isinstance(update, p.Heartbeat) for update in collector.updates)

        await until(lambda: heartbeats() >= 5)
        assert LinkState.STALE not in collector.links()
        following.cancel()


async def test_a_plain_req_socket_is_served(engine: Engine, paths: Paths) -> None:
    with zmq.asyncio.Context() as context, context.socket(zmq.REQ) as req:
        req.linger = 0
        req.connect(f"ipc://{paths.control_socket}")
        await req.send_multipart([b"1", b'{"type": "ping", "id": "1"}'])
        async with asyncio.timeout(TIMEOUT):
            version, body = await req.recv_multipart()
    assert version == b"1"
    assert b'"type":"pong"' in body

"""The messages of the bus and their bytes; no sockets here. docs/protocol.md is the authority on what they mean.

A body is JSON; its ``type`` names the message. Unknown fields are passed over, so that either side may be newer.
"""

from __future__ import annotations

import time
import uuid
from datetime import datetime
from typing import TypeVar

import msgspec

from keiji.errors import KeijiError, ProtocolError, by_code
from keiji.records import FileDifference, Pause, Run
from keiji_engine.bus.reasons import Reason
from keiji_engine.bus.views import (
    DirectiveView,
    DueInstant,
    EngineView,
    FrequentTask,
    ServiceView,
    TaskView,
    Upcoming,
)

VERSION = b"1"
LARGEST_REQUEST = 64 * 1024
LARGEST_LOG_SLICE = 256 * 1024

HEARTBEAT_SECONDS = 0.5
STALE_SECONDS = 1.2
DEAD_SECONDS = 2.0

TOPIC_EVENT = b"event"
TOPIC_HEARTBEAT = b"heartbeat"
TOPIC_JOIN = b"join/"


def log_topic(task: str) -> bytes:
    """Return the topic of a task's log on the log socket. The last slash keeps ``a`` from also matching ``ab``."""
    return b"log/" + task.encode() + b"/"


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """What every message is: immutable, its fields named, its type in ``type``."""


# ── requests: queries ────────────────────────────────────────────────────────────────────────────────────────────────


class Request(Message, frozen=True, kw_only=True):
    """What a client sends on the control socket.

    Args:
        id: chosen by the client; the same id again gets the same reply and no second effect.
        sender: who asks, for the ledger, such as "keiji-tui".
        deadline: Unix seconds after which the engine must not act on it any more; None for no limit.
    """

    id: str = msgspec.field(default_factory=lambda: uuid.uuid4().hex)
    sender: str = ""
    deadline: float | None = None

    @property
    def is_late(self) -> bool:
        return self.deadline is not None and time.time() > self.deadline


class Ping(Request, frozen=True, kw_only=True, tag="ping"):
    """Are you there? Answered by `Pong`."""


class GetSnapshot(Request, frozen=True, kw_only=True, tag="get-snapshot"):
    """Everything that the terminal shows. Answered by `Snapshot`."""


class GetTasks(Request, frozen=True, kw_only=True, tag="get-tasks"):
    """One task by name or slug, or all of them. Answered by `Tasks`."""

    task: str | None = None


class GetRuns(Request, frozen=True, kw_only=True, tag="get-runs"):
    """The runs of a task, newest first. Answered by `Runs`."""

    task: str
    limit: int = 50


class ReadLog(Request, frozen=True, kw_only=True, tag="read-log"):
    """A part of a task's log. Answered by `LogSlice`.

    Args:
        position: where to begin, in bytes; None for the last ``lines`` lines.
        limit: bytes at most; cut at the end of a line where there is one.
    """

    task: str
    position: int | None = None
    lines: int = 200
    limit: int = LARGEST_LOG_SLICE


class GetUpcoming(Request, frozen=True, kw_only=True, tag="get-upcoming"):
    """When a task is due, from ``after`` (now, without it) on. Answered by `UpcomingInstants`."""

    task: str
    count: int = 10
    after: datetime | None = None


class GetTimeline(Request, frozen=True, kw_only=True, tag="get-timeline"):
    """When all tasks are due within the next ``hours``, merged. Answered by `Timeline`."""

    hours: int = 24
    limit: int = 2000


class Explain(Request, frozen=True, kw_only=True, tag="explain"):
    """Why does a task not run now? Answered by `Explained`."""

    task: str


class GetBuild(Request, frozen=True, kw_only=True, tag="get-build"):
    """The active build of a task. Answered by `ActiveBuild`."""

    task: str


class GetDifference(Request, frozen=True, kw_only=True, tag="get-difference"):
    """How the sources in a task's folder differ from its active build. Answered by `Difference`."""

    task: str


class GetDirectives(Request, frozen=True, kw_only=True, tag="get-directives"):
    """The ledger, newest first. Answered by `Directives`."""

    limit: int = 200


class GetDirective(Request, frozen=True, kw_only=True, tag="get-directive"):
    """How a directive fared; the reply waits up to ``wait`` seconds for its end. Answered as the directive itself."""

    directive: str
    wait: float = 0.0


# ── requests: directives ─────────────────────────────────────────────────────────────────────────────────────────────


_OF_EVERY_DIRECTIVE = {"id", "sender", "deadline", "task", "service", "name"}


class Directive(Request, frozen=True, kw_only=True):
    """A request that changes something. Answered by `Done`, `Accepted` or `Refused`, and kept in the ledger."""

    @property
    def verb(self) -> str:
        return str(self.__struct_config__.tag)

    @property
    def target(self) -> str:
        """What it is about: the name of a task or service; "" for the engine itself."""
        return str(getattr(self, "task", "") or getattr(self, "service", "") or getattr(self, "name", ""))

    @property
    def options(self) -> dict[str, str | bool]:
        """What it says beyond its verb and target, where that is not what goes without saying."""
        said = {field.name: field for field in msgspec.structs.fields(self) if field.name not in _OF_EVERY_DIRECTIVE}
        return {name: getattr(self, name) for name, field in said.items() if getattr(self, name) != field.default}


class TaskDirective(Directive, frozen=True, kw_only=True):
    """A directive about one task, by name or slug."""

    task: str


class Create(Directive, frozen=True, kw_only=True, tag="create"):
    """Make a new task from the template; ``force`` replaces the sources that are there.

    Args:
        schedule: as in a schedule.py, such as ``every(5).minutes``; "" for that of the template.
    """

    name: str
    description: str = ""
    force: bool = False
    schedule: str = ""


class BuildTask(TaskDirective, frozen=True, kw_only=True, tag="build"):
    """Build a task and switch to the build; with ``restart``, also stop what runs and count its schedule anew."""

    restart: bool = False


class RunTask(TaskDirective, frozen=True, kw_only=True, tag="run"):
    """Run a task now, whatever its schedule says."""


class StopRun(TaskDirective, frozen=True, kw_only=True, tag="stop"):
    """Stop the live run of a task and cancel a pending retry."""


class Restart(TaskDirective, frozen=True, kw_only=True, tag="restart"):
    """Stop what runs of a task, and count its schedule anew from now."""


class Enable(TaskDirective, frozen=True, kw_only=True, tag="enable"):
    """Let a task run by its schedule again."""


class Disable(TaskDirective, frozen=True, kw_only=True, tag="disable"):
    """Stop what runs of a task, and let it run no more until it is enabled."""


class Resolve(TaskDirective, frozen=True, kw_only=True, tag="resolve"):
    """Clear a task's error, and let it run again where it was held."""


class PauseTask(TaskDirective, frozen=True, kw_only=True, tag="pause"):
    """Start nothing that is due of a task until it is resumed. What runs goes on; what is due is skipped."""

    reason: str = ""


class ResumeTask(TaskDirective, frozen=True, kw_only=True, tag="resume"):
    """Let a paused task go on."""


class Delete(TaskDirective, frozen=True, kw_only=True, tag="delete"):
    """Forget a task: record, history, logs and builds. Its sources stay."""


class ServiceDirective(Directive, frozen=True, kw_only=True):
    """A directive about one service."""

    service: str


class StartService(ServiceDirective, frozen=True, kw_only=True, tag="start-service"):
    """Start a service of the engine."""


class StopService(ServiceDirective, frozen=True, kw_only=True, tag="stop-service"):
    """Stop a service of the engine."""


class RestartService(ServiceDirective, frozen=True, kw_only=True, tag="restart-service"):
    """Stop and start a service of the engine."""


class PauseSystem(Directive, frozen=True, kw_only=True, tag="pause-system"):
    """Start nothing that is due of any task until the system is resumed."""

    reason: str = ""


class ResumeSystem(Directive, frozen=True, kw_only=True, tag="resume-system"):
    """Let everything go on but for tasks that are paused themselves."""


class Shutdown(Directive, frozen=True, kw_only=True, tag="shutdown"):
    """End the engine. Live runs go on; the next engine adopts them."""


# ── replies ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Reply(Message, frozen=True, kw_only=True):
    """What the engine answers; ``id`` is that of the request."""

    id: str


class Pong(Reply, frozen=True, kw_only=True, tag="pong"):
    """I am here."""

    engine: EngineView


class Snapshot(Reply, frozen=True, kw_only=True, tag="snapshot"):
    """The whole state as of ``seq``."""

    boot: str
    seq: int
    engine: EngineView
    services: tuple[ServiceView, ...]
    tasks: tuple[TaskView, ...]


class Tasks(Reply, frozen=True, kw_only=True, tag="tasks"):
    """The tasks asked for, by name, and the pause of everything."""

    tasks: tuple[TaskView, ...]
    pause: Pause | None = None


class Runs(Reply, frozen=True, kw_only=True, tag="runs"):
    """The runs asked for, newest first."""

    runs: tuple[Run, ...]


class UpcomingInstants(Reply, frozen=True, kw_only=True, tag="upcoming"):
    """When a task is due, by the clocks of ``zone``. ``unless`` says why none of it will run, as things are."""

    task: str
    zone: str
    instants: tuple[Upcoming, ...]
    unless: str = ""


class Timeline(Reply, frozen=True, kw_only=True, tag="timeline"):
    """When all tasks are due, in order.

    Args:
        until: up to when the instants are complete.
        often: the tasks that are due too often for a line each, by name; none of ``instants`` is theirs.
    """

    until: datetime
    instants: tuple[DueInstant, ...]
    often: tuple[FrequentTask, ...]


class ActiveBuild(Reply, frozen=True, kw_only=True, tag="active-build"):
    """The build that runs of a task begin with.

    Args:
        import_seconds: how long its module took to import when it was built.
        files: how many source files it has.
    """

    task: str
    hash: str
    created_at: datetime
    import_seconds: float
    files: int


class Difference(Reply, frozen=True, kw_only=True, tag="difference"):
    """How sources differ from the build ``build``, by file; ``note`` says what is left out."""

    task: str
    build: str
    files: tuple[FileDifference, ...]
    note: str = ""


class Directives(Reply, frozen=True, kw_only=True, tag="directives"):
    """Directives of the ledger, newest first."""

    directives: tuple[DirectiveView, ...]


class Explained(Reply, frozen=True, kw_only=True, tag="explained"):
    """Why a task does not run now, what holds it up first."""

    task: str
    reasons: tuple[Reason, ...]


class LogSlice(Reply, frozen=True, kw_only=True, tag="log-slice"):
    """A part of a log: ``text`` lies from ``position`` to ``end``, in bytes; ``size`` is where the log ends now."""

    task: str
    position: int
    end: int
    size: int
    text: str


class Accepted(Reply, frozen=True, kw_only=True, tag="accepted"):
    """The directive is being carried out; `DirectiveChanged` and `GetDirective` tell how it ends."""

    message: str = ""


class Done(Reply, frozen=True, kw_only=True, tag="done"):
    """The directive was carried out and is recorded; ``lines`` are for people."""

    lines: tuple[str, ...] = ()


class Refused(Reply, frozen=True, kw_only=True, tag="refused"):
    """The request was not carried out, or not to its end; ``message`` says why."""

    code: str
    message: str
    hint: str = ""

    @classmethod
    def because(cls, request_id: str, error: KeijiError) -> Refused:
        """Return the refusal that carries ``error``."""
        return cls(id=request_id, code=error.code, message=error.message, hint=error.hint)

    def error(self) -> KeijiError:
        """Return the error that this refusal carries."""
        return by_code(self.code)(self.message, hint=self.hint)


# ── events ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class Event(Message, frozen=True, kw_only=True):
    """Something that happened, told to everybody."""


class TaskChanged(Event, frozen=True, kw_only=True, tag="task-changed"):
    """A task is new or differs; the whole of it."""

    task: TaskView


class TaskRemoved(Event, frozen=True, kw_only=True, tag="task-removed"):
    """A task was deleted."""

    slug: str


class RunChanged(Event, frozen=True, kw_only=True, tag="run-changed"):
    """A run moved to another state."""

    run: Run


class EngineChanged(Event, frozen=True, kw_only=True, tag="engine-changed"):
    """Something about the engine as a whole differs, such as that everything is paused."""

    engine: EngineView


class ServiceChanged(Event, frozen=True, kw_only=True, tag="service-changed"):
    """A service moved to another status."""

    service: ServiceView


class DirectiveChanged(Event, frozen=True, kw_only=True, tag="directive-changed"):
    """A directive was accepted, done or refused; ``lines`` are for people, ``options`` what it says beyond its verb."""

    directive: str
    verb: str
    target: str
    stage: str
    sender: str = ""
    lines: tuple[str, ...] = ()
    options: dict[str, str | bool] = {}


class EngineStopping(Event, frozen=True, kw_only=True, tag="engine-stopping"):
    """The engine is about to end."""


AnyEvent = (
    TaskChanged | TaskRemoved | RunChanged | EngineChanged | ServiceChanged | DirectiveChanged | EngineStopping
)  # fmt: skip


class Delta(Message, frozen=True, kw_only=True, tag="delta"):
    """One event in its place: ``seq`` counts up by one within a ``boot``."""

    boot: str
    seq: int
    event: AnyEvent


class Heartbeat(Message, frozen=True, kw_only=True, tag="heartbeat"):
    """The engine lives; ``seq`` is that of the newest delta, ``late`` by how many seconds its loop lags."""

    boot: str
    seq: int
    late: float


class Joined(Message, frozen=True, kw_only=True, tag="joined"):
    """Every subscription of this client made before this one is in force."""


class LogChunk(Message, frozen=True, kw_only=True, tag="log-chunk"):
    """New text of a task's log: whole lines, from ``position`` to ``end``, in bytes.

    One without text says where the log ends as somebody subscribes; with ``anew``, that the log was deleted and begun
    anew, so that positions count from 0 again.
    """

    task: str
    position: int
    end: int
    text: str
    anew: bool = False


AnyRequest = (
    Ping | GetSnapshot | GetTasks | GetRuns | ReadLog | GetUpcoming | GetTimeline | Explain | GetBuild | GetDifference
    | GetDirectives | GetDirective | Create | BuildTask | RunTask | StopRun | Restart | Enable | Disable | Resolve
    | PauseTask | ResumeTask | Delete | StartService | StopService | RestartService | PauseSystem | ResumeSystem
    | Shutdown
)  # fmt: skip
AnyReply = (
    Pong | Snapshot | Tasks | Runs | UpcomingInstants | Timeline | Explained | ActiveBuild | Difference | Directives
    | LogSlice | Accepted | Done | Refused
)  # fmt: skip
AnyBroadcast = Delta | Heartbeat | Joined | LogChunk

_M = TypeVar("_M")

_encoder = msgspec.json.Encoder()
_requests: msgspec.json.Decoder[AnyRequest] = msgspec.json.Decoder(AnyRequest)
_replies: msgspec.json.Decoder[AnyReply] = msgspec.json.Decoder(AnyReply)
_broadcasts: msgspec.json.Decoder[AnyBroadcast] = msgspec.json.Decoder(AnyBroadcast)


def encode(message: Message) -> list[bytes]:
    """Return the frames of a message: version and body."""
    return [VERSION, _encoder.encode(message)]


def decode_request(frames: list[bytes]) -> AnyRequest:
    """Read the frames of a request. Raises ProtocolError where they are none that this version understands."""
    return _decode(_requests, frames)


def decode_reply(frames: list[bytes]) -> AnyReply:
    """Read the frames of a reply. Raises ProtocolError where they are none that this version understands."""
    return _decode(_replies, frames)


def decode_broadcast(frames: list[bytes]) -> AnyBroadcast:
    """Read the frames behind the topic on ``state`` or ``log``. Raises ProtocolError as `decode_reply` does."""
    return _decode(_broadcasts, frames)


def _decode(decoder: msgspec.json.Decoder[_M], frames: list[bytes]) -> _M:
    if len(frames) != 2:
        raise ProtocolError(f"a message has two frames, version and body; this one has {len(frames)}")
    version, body = frames
    if version != VERSION:
        shown = version[:16].decode("ascii", "backslashreplace")
        raise ProtocolError(
            f"this speaks version {VERSION.decode()} of the protocol, the message is of version {shown!r}",
            hint="use the keiji that the engine was installed with, or restart the engine after an upgrade",
        )
    if len(body) > LARGEST_REQUEST and decoder is _requests:
        raise ProtocolError(f"a request may have {LARGEST_REQUEST} bytes; this one has {len(body)}")
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise ProtocolError(f"a message was not understood: {error}") from error

"""The messages of the bus and their encoding, without any sockets. docs/protocol.md defines their meaning.

The body of a message is JSON; its ``type`` names the message. Unknown fields are ignored, so that the two sides may
have different versions.
"""

from __future__ import annotations

import shlex
import time
import uuid
from datetime import datetime
from functools import cache
from typing import Any, Generic, TypeVar, cast, get_args, get_origin

import msgspec

from keiji.errors import KeijiError, ProtocolError, by_code
from keiji.reasons import Reason
from keiji.records import FileDifference, Pause, Run
from keiji_engine.bus.views import (
    ApplyOutcome,
    BackfillInstant,
    BackfillView,
    BuildView,
    DirectiveView,
    DueInstant,
    EngineView,
    FolderView,
    FrequentTask,
    ServiceView,
    TaskView,
)

VERSION = b"1"
MAX_REQUEST_BYTES = 64 * 1024
MAX_LOG_SLICE_BYTES = 256 * 1024

HEARTBEAT_SECONDS = 0.5
STALE_SECONDS = 1.2
DEAD_SECONDS = 2.0

TOPIC_EVENT = b"event"
TOPIC_HEARTBEAT = b"heartbeat"
TOPIC_SUBSCRIBED = b"subscribed/"


def log_topic(task: str) -> bytes:
    """Return the topic of a task's log on the log socket. The trailing slash keeps ``a`` from also matching ``ab``."""
    return b"log/" + task.encode() + b"/"


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Base class of all messages; on the wire, ``type`` holds the tag of the class."""


# ── replies ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Reply(Message, frozen=True, kw_only=True):
    """The engine's answer to the request with the same ``id``."""

    id: str


class Pong(Reply, frozen=True, kw_only=True, tag="pong"):
    """The engine is alive.

    Args:
        services: empty if an earlier version sent it.
    """

    engine: EngineView
    services: tuple[ServiceView, ...] = ()


class Snapshot(Reply, frozen=True, kw_only=True, tag="snapshot"):
    """The complete state as of ``seq``."""

    boot: str
    seq: int
    engine: EngineView
    services: tuple[ServiceView, ...]
    tasks: tuple[TaskView, ...]


class Tasks(Reply, frozen=True, kw_only=True, tag="tasks"):
    """The requested tasks, by name, and the system-wide pause, if any."""

    tasks: tuple[TaskView, ...]
    pause: Pause | None = None


class Runs(Reply, frozen=True, kw_only=True, tag="runs"):
    """The runs of a task, newest first. ``zone`` is the task's own time zone; "" if it uses the workspace's."""

    runs: tuple[Run, ...]
    zone: str = ""


class Upcoming(Reply, frozen=True, kw_only=True, tag="upcoming"):
    """The next instants at which a task is due.

    Args:
        zone: the time zone of the task's schedule.
        blocked_reason: why nothing will run at these instants, for example a pause; None if runs are not blocked.
        events: the events that also run the task; see `TaskView`.
    """

    task: str
    zone: str
    instants: tuple[DueInstant, ...]
    blocked_reason: Reason | None = None
    events: tuple[str, ...] = ()


class Timeline(Reply, frozen=True, kw_only=True, tag="timeline"):
    """The due instants of all tasks, in order.

    Args:
        until: the instant up to which ``instants`` is complete.
        frequent_tasks: the tasks that are due too often to list every instant, by name; ``instants`` omits them.
    """

    until: datetime
    instants: tuple[DueInstant, ...]
    frequent_tasks: tuple[FrequentTask, ...]


class ActiveBuild(Reply, frozen=True, kw_only=True, tag="active-build"):
    """The build that new runs of a task use.

    Args:
        import_seconds: import time of the task's module during the build.
        files: the number of source files.
    """

    task: str
    hash: str
    created_at: datetime
    import_seconds: float
    files: int


class Difference(Reply, frozen=True, kw_only=True, tag="difference"):
    """The differences between the build ``build`` of a task and its sources, or another of its builds, by file.

    Args:
        after: the other build; "" for the sources.
        note: what the reply omits; "" if it is complete.
    """

    task: str
    build: str
    files: tuple[FileDifference, ...]
    note: str = ""
    after: str = ""


class Builds(Reply, frozen=True, kw_only=True, tag="builds"):
    """The builds of a task, the one that was activated last first. ``zone`` is the task's own time zone, or ""."""

    task: str
    builds: tuple[BuildView, ...]
    zone: str = ""


class ApplyPlan(Reply, frozen=True, kw_only=True, tag="apply-plan"):
    """What `Apply` would do: each folder under ``tasks/`` and each task without a folder, by slug."""

    folders: tuple[FolderView, ...]


class Backfills(Reply, frozen=True, kw_only=True, tag="backfills"):
    """Backfills, newest first."""

    backfills: tuple[BackfillView, ...]


class BackfillPlan(Reply, frozen=True, kw_only=True, tag="backfill-plan"):
    """What a backfill of a range would run.

    Args:
        zone: the time zone of the task's schedule.
        instants: every instant of the schedule in the range, in order.
        note: what is left out of the requested range; "" if nothing is.
    """

    task: str
    zone: str
    instants: tuple[BackfillInstant, ...]
    note: str = ""


class Directives(Reply, frozen=True, kw_only=True, tag="directives"):
    """Directives from the ledger, newest first."""

    directives: tuple[DirectiveView, ...]


class Explained(Reply, frozen=True, kw_only=True, tag="explained"):
    """Why a task is not running now, the blocking reasons first. ``zone`` is the task's own time zone, or ""."""

    task: str
    reasons: tuple[Reason, ...]
    zone: str = ""


class LogSlice(Reply, frozen=True, kw_only=True, tag="log-slice"):
    """Part of a log.

    Args:
        position: where ``text`` begins, in bytes from the beginning of the log.
        end: where ``text`` ends.
        size: where the log ends now.
    """

    task: str
    position: int
    end: int
    size: int
    text: str


class Accepted(Reply, frozen=True, kw_only=True, tag="accepted"):
    """The directive is in progress; `DirectiveChanged` and `GetDirective` report its outcome."""

    message: str = ""


class Done(Reply, frozen=True, kw_only=True, tag="done"):
    """The directive has been carried out and recorded.

    Args:
        lines: its human-readable output.
        outcomes: the outcome of `Apply` for each task.
    """

    lines: tuple[str, ...] = ()
    outcomes: tuple[ApplyOutcome, ...] = ()


class Refused(Reply, frozen=True, kw_only=True, tag="refused"):
    """The request was rejected or failed.

    Args:
        code: identifies the error, see `keiji.errors`.
        message: says why.
        hint: says what to do next; may be "".
        params: the details of the error as data, such as the task and the run.
    """

    code: str
    message: str
    hint: str = ""
    params: dict[str, str | int] = {}

    @classmethod
    def from_error(cls, request_id: str, error: KeijiError) -> Refused:
        """Return the reply that carries ``error`` to the client."""
        return cls(id=request_id, code=error.code, message=error.message, hint=error.hint, params=error.params)

    def to_error(self) -> KeijiError:
        """Return the error that this reply carries."""
        return by_code(self.code)(self.message, hint=self.hint, params=self.params)


# ── requests: queries ────────────────────────────────────────────────────────────────────────────────────────────────


R = TypeVar("R", bound=Reply)
R_co = TypeVar("R_co", bound=Reply, covariant=True)


class Request(Message, Generic[R_co], frozen=True, kw_only=True):
    """A message from a client on the control socket. The type parameter is the type of the reply; see `reply_type`.

    Args:
        id: chosen by the client. A request with the same id gets the same reply and has no second effect.
        sender: the name of the client program, for the ledger, such as "keiji-tui".
        deadline: Unix time after which the engine must not carry out the request; None for no deadline.
        sudo_user: the user who started the client with sudo, as the client claims; "" without sudo. The engine reads
            the user of the client process from the socket.
    """

    id: str = msgspec.field(default_factory=lambda: uuid.uuid4().hex)
    sender: str = ""
    deadline: float | None = None
    sudo_user: str = ""

    @property
    def is_expired(self) -> bool:
        return self.deadline is not None and time.time() > self.deadline


def reply_type(request: type[Request[R]]) -> type[R]:
    """Return the reply type that a request type declares: ``Runs`` for ``GetRuns``, ``Done`` for a directive."""
    bases = request.__orig_bases__  # type: ignore[attr-defined] # set by Generic, and inherited
    return cast("type[R]", next(get_args(base)[0] for base in bases if get_origin(base) is Request))


class Ping(Request[Pong], frozen=True, kw_only=True, tag="ping"):
    """Check whether the engine answers."""


class GetSnapshot(Request[Snapshot], frozen=True, kw_only=True, tag="get-snapshot"):
    """Get the complete state, from which a client follows the deltas."""


class GetTasks(Request[Tasks], frozen=True, kw_only=True, tag="get-tasks"):
    """Get one task, by name or slug, or all tasks."""

    task: str | None = None


class GetRuns(Request[Runs], frozen=True, kw_only=True, tag="get-runs"):
    """Get the latest runs of a task."""

    task: str
    limit: int = 50


class ReadLog(Request[LogSlice], frozen=True, kw_only=True, tag="read-log"):
    """Read part of a task's log.

    Args:
        position: where to begin, in bytes; None for the last ``lines`` lines.
        limit: the maximum number of bytes; the text is cut after the last complete line if there is one.
    """

    task: str
    position: int | None = None
    lines: int = 200
    limit: int = MAX_LOG_SLICE_BYTES


class GetUpcoming(Request[Upcoming], frozen=True, kw_only=True, tag="get-upcoming"):
    """Get the next ``count`` instants at which a task is due after ``after``, which defaults to now."""

    task: str
    count: int = 10
    after: datetime | None = None


class GetTimeline(Request[Timeline], frozen=True, kw_only=True, tag="get-timeline"):
    """Get the due instants of all tasks within the next ``hours``, at most ``limit``."""

    hours: int = 24
    limit: int = 2000


class Explain(Request[Explained], frozen=True, kw_only=True, tag="explain"):
    """Ask why a task is not running now."""

    task: str


class GetBuild(Request[ActiveBuild], frozen=True, kw_only=True, tag="get-build"):
    """Get the active build of a task."""

    task: str


class GetDifference(Request[Difference], frozen=True, kw_only=True, tag="get-difference"):
    """Compare a build of a task with the sources in its folder, or with another of its builds.

    Args:
        before: the hash of a build, or the beginning of one; "" for the active build.
        after: likewise; "" for the sources.
    """

    task: str
    before: str = ""
    after: str = ""


class GetBuilds(Request[Builds], frozen=True, kw_only=True, tag="get-builds"):
    """Get the builds of a task that exist on disk."""

    task: str


class PlanApply(Request[ApplyPlan], frozen=True, kw_only=True, tag="plan-apply"):
    """Get what `Apply` would do, without building anything."""


class GetBackfills(Request[Backfills], frozen=True, kw_only=True, tag="get-backfills"):
    """Get the latest backfills of a task or of all tasks, or the one with the id ``backfill``."""

    task: str | None = None
    backfill: int | None = None
    limit: int = 50


class PlanBackfill(Request[BackfillPlan], frozen=True, kw_only=True, tag="plan-backfill"):
    """Get what a backfill would run, without creating it; see `BackfillTask`."""

    task: str
    begin: str
    end: str


class GetDirectives(Request[Directives], frozen=True, kw_only=True, tag="get-directives"):
    """Get the latest directives from the ledger."""

    limit: int = 200


class GetDirective(Request[Done], frozen=True, kw_only=True, tag="get-directive"):
    """Get the outcome of a directive, waiting up to ``wait`` seconds for it.

    The reply is the reply to the directive: `Done`, `Refused`, or `Accepted` if it is still in progress.
    """

    directive: str
    wait: float = 0.0


# ── requests: directives ─────────────────────────────────────────────────────────────────────────────────────────────


class Directive(Request[Done], frozen=True, kw_only=True):
    """A request that changes something; the ledger keeps it. The reply is `Done`, `Accepted` or `Refused`."""

    @property
    def verb(self) -> str:
        return tag_of(type(self))

    @property
    def target(self) -> str:
        """The name of the task or service that the directive changes; "" for the engine itself."""
        return next((str(getattr(self, name)) for name in _TARGET_FIELDS if getattr(self, name, "")), "")

    @property
    def options(self) -> dict[str, str | bool]:
        """The fields other than those of `Request` and the target, if their values differ from the defaults.

        Values other than flags are text, as on a command line. Of environment variables, which may be secrets, only
        the names are included.
        """
        options = ((name, getattr(self, name), default) for name, default in _option_defaults(type(self)))
        return {name: _option_text(name, value) for name, value, default in options if value != default}


@cache
def _option_defaults(directive: type[Directive]) -> tuple[tuple[str, Any], ...]:
    fields = msgspec.structs.fields(directive)
    return tuple(
        (field.name, {} if field.default_factory is dict else field.default)
        for field in fields
        if field.name not in _COMMON_FIELDS
    )


def _option_text(name: str, value: Any) -> str | bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, tuple):
        return shlex.join(value)
    if isinstance(value, dict):
        return shlex.join(value if name == "env" else (f"{key}={each}" for key, each in value.items()))
    return value.isoformat() if isinstance(value, datetime) else str(value)


_TARGET_FIELDS = ("task", "service", "name")
_COMMON_FIELDS = {*Request.__struct_fields__, *_TARGET_FIELDS}


class TaskDirective(Directive, frozen=True, kw_only=True):
    """A directive about one task, by name or slug."""

    task: str


class Create(Directive, frozen=True, kw_only=True, tag="create"):
    """Create a task from the template.

    Args:
        force: replace existing sources with the template.
        schedule: the schedule as in a schedule.py, such as ``every(5).minutes``; "" for the template's.
        command: argv of a command task; empty for others.
        shell: the line of a command task that a shell executes; "" for others.
        cwd: absolute path of the working folder of a command; "" for the task's own.
        policy: the policy on one line, as in a task.toml: ``timeout = "30m", overlap = "queue"``.
    """

    name: str
    description: str = ""
    force: bool = False
    schedule: str = ""
    command: tuple[str, ...] = ()
    shell: str = ""
    cwd: str = ""
    tags: tuple[str, ...] = ()
    policy: str = ""


class BuildTask(TaskDirective, frozen=True, kw_only=True, tag="build"):
    """Build a task and activate the build; with ``restart``, also stop its live run and restart its schedule."""

    restart: bool = False


class RollBack(TaskDirective, frozen=True, kw_only=True, tag="rollback"):
    """Activate an earlier build of a task.

    Args:
        build: its hash, or the beginning of it; "" for the build that was active before the current one.
    """

    build: str = ""


class PinBuild(TaskDirective, frozen=True, kw_only=True, tag="pin"):
    """Pin a build of a task: it is not collected, and no other replaces it while it is active.

    Args:
        build: its hash, or the beginning of it; "" for the active build.
    """

    build: str = ""


class UnpinBuild(TaskDirective, frozen=True, kw_only=True, tag="unpin"):
    """Undo `PinBuild`. Without ``build``, it applies to the active build."""

    build: str = ""


class Apply(Directive, frozen=True, kw_only=True, tag="apply"):
    """Build all tasks whose sources are new or differ from the active build; a failure affects only its own task.

    Args:
        prune: slugs of tasks to delete, if their folder is still missing.
    """

    prune: tuple[str, ...] = ()


class RunTask(TaskDirective, frozen=True, kw_only=True, tag="run"):
    """Run a task now, regardless of its schedule.

    Args:
        params: the parameters, by name, as text.
        env: environment variables of this run.
        timeout: time limit of this run in seconds; None for that of the policy.
        due: the scheduled time that the run covers; None for none.
    """

    params: dict[str, str] = {}
    env: dict[str, str] = {}
    timeout: float | None = None
    due: datetime | None = None


class RerunTask(TaskDirective, frozen=True, kw_only=True, tag="rerun"):
    """Repeat the run with the id ``run``: with its due instant, parameters and overrides."""

    run: str


class BackfillTask(TaskDirective, frozen=True, kw_only=True, tag="backfill"):
    """Run each instant of a task's schedule in a range, beside the schedule itself.

    Args:
        begin, end: the range, inclusive: a date such as "2026-11-01", which covers the whole day, or a time. Without a
            UTC offset, they are in the time zone of the task's schedule.
        parallel: maximum number of runs at a time.
        again: whether instants that have succeeded run again.
        params: the parameters of each run, by name, as text.
    """

    begin: str
    end: str
    parallel: int = 1
    again: bool = False
    params: dict[str, str] = {}


class StopBackfill(TaskDirective, frozen=True, kw_only=True, tag="stop-backfill"):
    """Stop the backfill with the id ``backfill``: it starts nothing more; live runs continue."""

    backfill: int


class ResumeBackfill(TaskDirective, frozen=True, kw_only=True, tag="resume-backfill"):
    """Continue the stopped backfill with the id ``backfill``."""

    backfill: int


class StopRun(TaskDirective, frozen=True, kw_only=True, tag="stop"):
    """Stop the live run of a task and cancel a pending retry."""


class Restart(TaskDirective, frozen=True, kw_only=True, tag="restart"):
    """Stop the live run of a task and restart its schedule from now."""


class Enable(TaskDirective, frozen=True, kw_only=True, tag="enable"):
    """Put a disabled task back on its schedule."""


class Disable(TaskDirective, frozen=True, kw_only=True, tag="disable"):
    """Stop the live run of a task and take the task off its schedule until it is enabled."""


class Resolve(TaskDirective, frozen=True, kw_only=True, tag="resolve"):
    """Clear a task's error and release the task if it is held."""


class PauseTask(TaskDirective, frozen=True, kw_only=True, tag="pause"):
    """Pause a task's schedule: occurrences are skipped until it is resumed; a live run is not affected."""

    reason: str = ""


class ResumeTask(TaskDirective, frozen=True, kw_only=True, tag="resume"):
    """Resume a paused task."""


class RenameTask(TaskDirective, frozen=True, kw_only=True, tag="rename"):
    """Give a task another name. Its history, logs and builds stay; its slug and its folder follow the name."""

    new_name: str


class Delete(TaskDirective, frozen=True, kw_only=True, tag="delete"):
    """Delete a task's record, history, logs and builds, but not its sources."""


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
    """Pause the schedules of all tasks until the system is resumed."""

    reason: str = ""


class ResumeSystem(Directive, frozen=True, kw_only=True, tag="resume-system"):
    """Resume all tasks except those paused individually."""


class Shutdown(Directive, frozen=True, kw_only=True, tag="shutdown"):
    """Stop the engine. Live runs continue, and the next engine adopts them."""


# ── broadcasts ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Event(Message, frozen=True, kw_only=True):
    """A change that the engine publishes to all clients, wrapped in a `Delta`."""


class TaskChanged(Event, frozen=True, kw_only=True, tag="task-changed"):
    """A task was added or changed; ``task`` is its complete new state."""

    task: TaskView


class TaskRemoved(Event, frozen=True, kw_only=True, tag="task-removed"):
    """A task was deleted."""

    slug: str


class RunChanged(Event, frozen=True, kw_only=True, tag="run-changed"):
    """A run entered another state."""

    run: Run


class BackfillChanged(Event, frozen=True, kw_only=True, tag="backfill-changed"):
    """A backfill was created, has made progress, was stopped or resumed, or is done."""

    backfill: BackfillView


class EngineChanged(Event, frozen=True, kw_only=True, tag="engine-changed"):
    """The state of the engine as a whole changed, for example because the system was paused."""

    engine: EngineView


class ServiceChanged(Event, frozen=True, kw_only=True, tag="service-changed"):
    """The status of a service changed."""

    service: ServiceView


class DirectiveChanged(Event, frozen=True, kw_only=True, tag="directive-changed"):
    """A directive was accepted, done or refused.

    Args:
        directive: the id of the directive.
        lines: the human-readable outcome.
        options: the fields other than the target, if their values differ from the defaults.
    """

    directive: str
    verb: str
    target: str
    stage: str
    sender: str = ""
    lines: tuple[str, ...] = ()
    options: dict[str, str | bool] = {}


class EngineStopping(Event, frozen=True, kw_only=True, tag="engine-stopping"):
    """The engine is shutting down."""


AnyEvent = (
    TaskChanged | TaskRemoved | RunChanged | BackfillChanged | EngineChanged | ServiceChanged | DirectiveChanged
    | EngineStopping
)  # fmt: skip


class Delta(Message, frozen=True, kw_only=True, tag="delta"):
    """One event with its sequence number: ``seq`` increases by one per event within a ``boot``."""

    boot: str
    seq: int
    event: AnyEvent


class Heartbeat(Message, frozen=True, kw_only=True, tag="heartbeat"):
    """The engine is alive.

    Args:
        seq: the sequence number of the latest delta.
        loop_lag: by how many seconds the engine's event loop lags.
    """

    boot: str
    seq: int
    loop_lag: float


class Subscribed(Message, frozen=True, kw_only=True, tag="subscribed"):
    """This subscription and all earlier ones of the same connection are in force."""


class LogChunk(Message, frozen=True, kw_only=True, tag="log-chunk"):
    """New text of a task's log, in whole lines.

    A chunk without text is sent to each new subscriber: its position is the end of the log.

    Args:
        position: where ``text`` begins, in bytes from the beginning of the log.
        end: where ``text`` ends.
        restarted: the log was deleted and a new one has begun, whose positions start at 0.
    """

    task: str
    position: int
    end: int
    text: str
    restarted: bool = False


# ── encoding ─────────────────────────────────────────────────────────────────────────────────────────────────────────


AnyRequest = (
    Ping | GetSnapshot | GetTasks | GetRuns | ReadLog | GetUpcoming | GetTimeline | Explain | GetBuild | GetDifference
    | GetBuilds | PlanApply | GetDirectives | GetDirective | GetBackfills | PlanBackfill | Create
    | BuildTask | RollBack | PinBuild | UnpinBuild | Apply | RunTask | RerunTask
    | BackfillTask | StopBackfill | ResumeBackfill | StopRun | Restart | Enable | Disable | Resolve
    | PauseTask | ResumeTask | RenameTask | Delete | StartService | StopService | RestartService | PauseSystem
    | ResumeSystem | Shutdown
)  # fmt: skip
AnyReply = (
    Pong | Snapshot | Tasks | Runs | Upcoming | Timeline | Explained | ActiveBuild | Difference | Directives | Backfills
    | BackfillPlan | Builds | ApplyPlan
    | LogSlice | Accepted | Done | Refused
)  # fmt: skip
AnyBroadcast = Delta | Heartbeat | Subscribed | LogChunk

_M = TypeVar("_M")

_encoder = msgspec.json.Encoder()
_requests: msgspec.json.Decoder[AnyRequest] = msgspec.json.Decoder(AnyRequest)
_replies: msgspec.json.Decoder[AnyReply] = msgspec.json.Decoder(AnyReply)
_broadcasts: msgspec.json.Decoder[AnyBroadcast] = msgspec.json.Decoder(AnyBroadcast)


def tag_of(message: type[Message]) -> str:
    """Return the ``type`` of a message on the wire, such as "get-runs"."""
    return str(message.__struct_config__.tag)


def encode(message: Message) -> list[bytes]:
    """Return the frames of a message: version and body."""
    return [VERSION, _encoder.encode(message)]


def decode_request(frames: list[bytes]) -> AnyRequest:
    """Decode the frames of a request.

    Raises:
        ProtocolError: the frames are not a request of this protocol version.
    """
    return _decode(_requests, frames)


def decode_reply(frames: list[bytes]) -> AnyReply:
    """Decode the frames of a reply. Raises as `decode_request` does."""
    return _decode(_replies, frames)


def decode_broadcast(frames: list[bytes]) -> AnyBroadcast:
    """Decode the frames that follow the topic on the state and log sockets. Raises as `decode_request` does."""
    return _decode(_broadcasts, frames)


def _decode(decoder: msgspec.json.Decoder[_M], frames: list[bytes]) -> _M:
    if len(frames) != 2:
        raise ProtocolError(f"a message has two frames, version and body; this one has {len(frames)}")
    version, body = frames
    if version != VERSION:
        shown = version[:16].decode("ascii", "backslashreplace")
        raise ProtocolError(
            f"expected protocol version {VERSION.decode()}, but the message has version {shown!r}",
            hint="use the keiji that the engine was installed with, or restart the engine after an upgrade",
        )
    if len(body) > MAX_REQUEST_BYTES and decoder is _requests:
        raise ProtocolError(f"a request may be at most {MAX_REQUEST_BYTES} bytes long; this one has {len(body)}")
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise ProtocolError(f"cannot decode the message: {error}") from error


def check_reply(request: Request[R], reply: Reply) -> R:
    """Return ``reply``, checked to be of the type that ``request`` declares.

    Raises:
        KeijiError: the engine refused the request.
        ProtocolError: the reply is of another type.
    """
    if isinstance(reply, Refused):
        raise reply.to_error()
    expected = reply_type(type(request))
    if not isinstance(reply, expected):
        raise ProtocolError(
            f"the engine answered {tag_of(type(request))} with {tag_of(type(reply))} instead of {tag_of(expected)}",
            hint="restart the engine if it was started before an upgrade",
        )
    return reply

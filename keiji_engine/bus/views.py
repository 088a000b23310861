"""The data in messages: engine, services, tasks and directives as clients see them; and the state of the link."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import msgspec

from keiji.parameters import Parameter
from keiji.reasons import Reason
from keiji.records import Backfill, Pause, Progress
from keiji.states import BackfillState, RunState


class ServiceStatus(StrEnum):
    """The status of a service of the engine. A degraded service is up, but a part of its work fails."""

    STARTING = "starting"
    ONLINE = "online"
    DEGRADED = "degraded"
    STOPPING = "stopping"
    OFFLINE = "offline"
    FAILED = "failed"


class ServiceView(msgspec.Struct, frozen=True, kw_only=True):
    """A service: ``bus``, ``scheduler``, ``runner`` or ``watcher``.

    Args:
        since: when the service entered its status.
        detail: why the service has failed or is degraded, in English; otherwise "".
        reason: why the service is degraded, as data; otherwise None.
    """

    name: str
    status: ServiceStatus
    since: datetime
    detail: str = ""
    reason: Reason | None = None

    @property
    def is_up(self) -> bool:
        """Whether the service works, if only in part."""
        return self.status in {ServiceStatus.ONLINE, ServiceStatus.DEGRADED}


class EngineView(msgspec.Struct, frozen=True, kw_only=True):
    """The engine itself.

    Args:
        boot: identifies this start of the engine; each start has a new one.
        pause: the system-wide pause; None if the system is not paused.
    """

    pid: int
    version: str
    boot: str
    started_at: datetime
    workspace: str
    database: str
    time_zone: str
    pause: Pause | None = None


# ``gc=False``: frozen structs of plain values cannot form cycles, and a garbage collection that visits the 200,000 runs
# of 10,000 tasks would block a client for 0.2 s each time.


class RecentRun(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The fields of a finished run that the table of tasks shows."""

    run_id: str
    state: RunState
    finished_at: datetime
    seconds: float | None = None
    exit_code: int | None = None
    signal: int | None = None
    reason: Reason | None = None
    params: dict[str, str] = {}


class TaskView(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The state of a task.

    Args:
        schedule: the compact form of the schedule, such as "units:seconds,interval:10"; "" before the first build.
        schedule_description: the schedule in English.
        type: "HMS", "DayTime", "Cron", "Once", "Manual", "AtStart", "OnChange", or "List"; "" before the first build.
        events: the events that run the task, in English, such as "at start"; ("manual",) if nothing does.
        policy: the policy in English.
        defaults: what comes from ``[defaults]`` in keiji.toml: options of the policy, and variables such as "env.LANG".
        overlap: what happens if an occurrence is due while a run is live: "skip", "queue", "replace" or "allow".
        zone: the task's own time zone; "" if it uses the workspace's.
        running_since: when the live run started; None if there is none.
        running: the number of live runs.
        retry_at: when the next retry is due; None if none is pending.
        error: why the last run failed, until a run succeeds or the error is resolved.
        broken: why what the database has about the task cannot be read, so that it does not run; otherwise None.
        waiting: why a due run has not started; None if none is waiting.
        waiting_until: when that run may start; None if unknown.
        pause: the pause of this task; None if it is not paused.
        held_since: when the task was held, after ``failures`` consecutive failures; None if it is not held.
        progress: the progress that the live run reports; None if it reports none.
        source_changes: paths in the task's folder that differ from the active build.
        source_error: why the changed sources cannot be built, such as "function.py, line 3: invalid syntax".
        kind: what it executes: "python", "command" or "shell"; "" before the first build.
        command: the command of a command task, quoted for a shell, with the path of its program; otherwise "".
        parameters: the parameters that a run can be started with.
        params: the parameters of the live run, as text.
        is_pinned: whether the active build is pinned, so that no other replaces it.
        rolled_back_from: the build that a rollback replaced; None unless the active build is the result of one.
        recent: the latest finished runs, oldest first, at most 20, without occurrences that started no process.
    """

    id: int
    task_id: str
    name: str
    slug: str
    description: str = ""
    schedule: str = ""
    schedule_description: str = ""
    type: str = ""
    policy: str = ""
    overlap: str = "skip"
    last_execution_time: datetime | None = None
    next_execution_time: datetime | None = None
    log_path: str = ""
    source_path: str = ""
    executable: str = ""
    is_running: bool = False
    is_queued: bool = False
    is_error: bool = False
    is_disabled: bool = False
    error: Reason | None = None
    build: str | None = None
    run_id: str | None = None
    running_since: datetime | None = None
    retry_at: datetime | None = None
    source_changes: tuple[str, ...] = ()
    source_error: str = ""
    recent: tuple[RecentRun, ...] = ()
    zone: str = ""
    running: int = 0
    waiting: Reason | None = None
    waiting_until: datetime | None = None
    pause: Pause | None = None
    failures: int = 0
    held_since: datetime | None = None
    progress: Progress | None = None
    broken: Reason | None = None
    events: tuple[str, ...] = ()
    kind: str = ""
    command: str = ""
    parameters: tuple[Parameter, ...] = ()
    tags: tuple[str, ...] = ()
    params: dict[str, str] = {}
    defaults: tuple[str, ...] = ()
    is_pinned: bool = False
    rolled_back_from: str | None = None

    @property
    def next_event(self) -> str:
        """A short name of the event that the task waits for, such as "at start"; "" if it waits for none."""
        if len(self.events) > 1:
            return "on event"
        return self.events[0].partition(" of ")[0] if self.events else ""


class BackfillView(msgspec.Struct, frozen=True, kw_only=True):
    """A backfill: it runs each instant of a task's schedule from ``first`` to ``last``.

    Args:
        id: identifies it in directives.
        task: the slug of the task.
        zone: the time zone of the schedule.
        schedule: the schedule in English, as of when the backfill was created.
        parallel: maximum number of its runs at a time.
        again: whether instants that have succeeded run again.
        next_at: the next instant to run; None if none is left.
        total: number of instants in the range.
        skipped: number of instants that had succeeded already.
        succeeded, failed: number of instants whose last attempt ended like this; a stopped or lost run has failed.
        open: number of instants in progress: live, or waiting for a retry.
        created_by: the client program that created it.
        finished_at: when it was done, or was stopped.
        waiting: why it starts nothing now; None if it does, or if it does not run. Only in replies.
    """

    id: int
    task: str
    zone: str
    schedule: str
    first: datetime
    last: datetime
    parallel: int
    again: bool
    state: BackfillState
    next_at: datetime | None
    total: int
    skipped: int
    succeeded: int
    failed: int
    open: int
    created_at: datetime
    created_by: str
    finished_at: datetime | None = None
    waiting: Reason | None = None

    @property
    def done(self) -> int:
        """The number of instants that need no run any more."""
        return self.skipped + self.succeeded + self.failed

    def progress(self) -> str:
        """Return how far it is: "3 of 7: 2 succeeded, 1 failed, 1 in progress"."""
        counts = {
            "succeeded": self.succeeded,
            "failed": self.failed,
            "skipped": self.skipped,
            "in progress": self.open,
        }
        parts = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
        return f"{self.done} of {self.total}{': ' if parts else ''}{parts}"


def backfill_view(backfill: Backfill, waiting: Reason | None = None) -> BackfillView:
    """Return a backfill as clients see it."""
    return BackfillView(
        id=backfill.id,
        task=backfill.task,
        zone=backfill.schedule.context.zone,
        schedule=backfill.schedule.describe(),
        first=backfill.first,
        last=backfill.last,
        parallel=backfill.parallel,
        again=backfill.again,
        state=backfill.state,
        next_at=backfill.next_at,
        total=backfill.total,
        skipped=backfill.skipped,
        succeeded=backfill.succeeded,
        failed=backfill.failed,
        open=backfill.open,
        created_at=backfill.created_at,
        created_by=backfill.created_by,
        finished_at=backfill.finished_at,
        waiting=waiting,
    )


class BackfillInstant(msgspec.Struct, frozen=True, kw_only=True):
    """An instant in the range of a backfill; ``has_succeeded`` if a run for it has."""

    at: datetime
    has_succeeded: bool = False


class BuildView(msgspec.Struct, frozen=True, kw_only=True):
    """A build of a task.

    Args:
        activated_at: when it last became the active build.
        activated_by: the user or the client program that activated it; "" if unknown.
        is_missing: whether its files no longer exist.
        runs: the number of live runs that use it.
        size: of its files, in bytes.
        files: the number of source files.
    """

    hash: str
    created_at: datetime
    activated_at: datetime
    activated_by: str = ""
    is_active: bool = False
    is_pinned: bool = False
    is_missing: bool = False
    runs: int = 0
    size: int = 0
    files: int = 0


class FolderState(StrEnum):
    """How a folder under ``tasks/`` compares with the active build of its task."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    PINNED = "pinned"
    MISSING = "missing"
    INVALID = "invalid"


class FolderView(msgspec.Struct, frozen=True, kw_only=True):
    """A folder under ``tasks/``, or a task without one.

    Args:
        folder: the name of the folder, which is the slug of the task.
        state: ``new`` if there is no task or no build, ``pinned`` if the sources differ from a pinned build,
            ``missing`` if there is no folder, ``invalid`` if no task can be made of it.
        files: the paths that differ from the active build.
        error: why it is invalid.
    """

    folder: str
    state: FolderState
    files: tuple[str, ...] = ()
    error: str = ""


class ApplyOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What was done about one task.

    Args:
        outcome: "created", "built", "unchanged", "pinned", "failed" or "pruned".
        build: the hash of the build; "" if there is none.
        error: why it failed, beginning with file and line if they are known; may have several lines.
    """

    task: str
    outcome: str
    build: str = ""
    error: str = ""


class DueInstant(msgspec.Struct, frozen=True, kw_only=True):
    """An instant at which a task is due.

    Args:
        task: the slug of the task.
        at: the instant.
        starts_at: when the run starts; later than ``at`` by the jitter of the policy.
        note: the effect of daylight saving and jitter, such as "first of two 01:30"; "" if there is none.
        is_skipped: daylight saving skips this instant; ``at`` is where it would have been.
    """

    task: str
    at: datetime
    starts_at: datetime
    note: str = ""
    is_skipped: bool = False


class DirectiveView(msgspec.Struct, frozen=True, kw_only=True):
    """A directive in the ledger.

    Args:
        target: the task or service, as the client named it; "" for the engine as a whole.
        options: the fields other than the target that differ from their defaults, such as ``{"restart": true}``.
        stage: "accepted", "done", "refused", or "lost" if the engine ended before the directive was done.
        lines: the human-readable outcome; a long text is truncated, with a note.
        user: the user whose process sent it, as the kernel reports it; "" if unknown.
        sudo_user: the user who called sudo, as the client claims; "" without sudo.
    """

    id: str
    verb: str
    target: str
    sender: str
    stage: str
    received_at: datetime
    completed_at: datetime | None = None
    lines: tuple[str, ...] = ()
    options: dict[str, str | bool] = {}
    user: str = ""
    sudo_user: str = ""


class FrequentTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task that is due too often to list every instant; ``next_at`` is the next one."""

    task: str
    next_at: datetime


class LinkState(StrEnum):
    """The state of a client's link to its engine."""

    CONNECTING = "connecting"
    LIVE = "live"
    STALE = "stale"
    OFFLINE = "offline"


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """The link to the engine changed its state.

    Args:
        reason: human-readable text.
        engine_is_running: whether an engine process exists, even if it does not answer.
    """

    state: LinkState
    reason: str = ""
    engine_is_running: bool = False

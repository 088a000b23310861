"""What the messages of the bus show: engine, services and tasks as people see them, and how a link to them stands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import msgspec

from keiji.records import Pause, Progress
from keiji.states import RunState


class ServiceStatus(StrEnum):
    """How a service of the engine is doing."""

    STARTING = "starting"
    ONLINE = "online"
    STOPPING = "stopping"
    OFFLINE = "offline"
    FAILED = "failed"


class ServiceView(msgspec.Struct, frozen=True, kw_only=True):
    """A service: ``bus``, ``scheduler``, ``runner`` or ``watcher``; ``detail`` says why it failed."""

    name: str
    status: ServiceStatus
    since: datetime
    detail: str = ""


class EngineView(msgspec.Struct, frozen=True, kw_only=True):
    """The engine itself. ``boot`` is new at each start; while there is a ``pause``, nothing that is due is started."""

    pid: int
    version: str
    boot: str
    started_at: datetime
    workspace: str
    database: str
    time_zone: str
    pause: Pause | None = None


# ``gc=False`` below: what is frozen and made of leaves is in no cycle, and a look at two hundred thousand runs of ten
# thousand tasks would stop whoever shows them for a fifth of a second, again and again.


class RecentRun(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """As much of an ended run as a table shows."""

    run_id: str
    state: RunState
    finished_at: datetime
    seconds: float | None = None
    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""


class TaskView(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A task as people and programs see it.

    Args:
        schedule: the seed's form, such as "units:seconds,interval:10"; "" before the first build.
        schedule_description: the same in words.
        type: "HMS", "DayTime", "Cron" or "Once"; "" before the first build.
        policy: in words.
        zone: whose clocks its times of day are by, where the task has one of its own; else "".
        running_since: when the live run began; None while nothing runs.
        running: how many runs are live.
        retry_at: when a failed run is tried again; None when it is not.
        waiting: why a run that is due has not begun; "" when none waits.
        waiting_until: when that one may begin, as far as that is known.
        pause: while there is one, nothing of it that is due is started.
        held_since: since when it is held, after ``failures`` failures in a row; None when it is not.
        progress: how far the live run has got, where it says so.
        source_changes: paths in the task's folder that differ from the active build; empty when none do.
        source_error: why the changed sources cannot be built, such as "function.py, line 3: invalid syntax".
        recent: the last ended runs, oldest first, twenty at most; occurrences without a process are not among them.
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
    last_execution_time: datetime | None = None
    next_execution_time: datetime | None = None
    log_path: str = ""
    source_path: str = ""
    executable: str = ""
    is_running: bool = False
    is_queued: bool = False
    is_error: bool = False
    is_disabled: bool = False
    error_text: str = ""
    build: str | None = None
    run_id: str | None = None
    running_since: datetime | None = None
    retry_at: datetime | None = None
    source_changes: tuple[str, ...] = ()
    source_error: str = ""
    recent: tuple[RecentRun, ...] = ()
    zone: str = ""
    running: int = 0
    waiting: str = ""
    waiting_until: datetime | None = None
    pause: Pause | None = None
    failures: int = 0
    held_since: datetime | None = None
    progress: Progress | None = None


class Upcoming(msgspec.Struct, frozen=True, kw_only=True):
    """An instant at which a task is due, or would be.

    Args:
        at: the instant.
        starts_at: when the run starts; later than ``at`` by the jitter of the policy.
        note: what daylight saving does to it, and whatever else is known; "" for nothing.
        is_skipped: whether it is left out.
    """

    at: datetime
    starts_at: datetime
    note: str = ""
    is_skipped: bool = False


class DirectiveView(msgspec.Struct, frozen=True, kw_only=True):
    """A directive in the ledger.

    Args:
        target: the task or service that it is about, as it was named; "" for everything.
        options: what it says beyond that, such as ``{"restart": true}``.
        stage: "accepted", "done", "refused", or "lost": the engine ended while it carried it out.
        lines: what was said of it, for people; a long text is cut, and says so.
    """

    id: str
    verb: str
    target: str
    sender: str
    stage: str
    received_at: datetime
    settled_at: datetime | None = None
    lines: tuple[str, ...] = ()
    options: dict[str, str | bool] = {}


class DueInstant(msgspec.Struct, frozen=True, kw_only=True):
    """An instant at which a task is due; fields as those of `Upcoming`."""

    task: str
    at: datetime
    starts_at: datetime
    note: str = ""
    is_skipped: bool = False


class FrequentTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task that is due too often for a line each: ``next_at`` is its next instant."""

    task: str
    next_at: datetime


class LinkState(StrEnum):
    """How a client stands to its engine."""

    CONNECTING = "connecting"
    LIVE = "live"
    STALE = "stale"
    OFFLINE = "offline"


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """The link to the engine is in another state now.

    Args:
        reason: for people.
        engine_lives: whether there is an engine, even though it does not answer.
    """

    state: LinkState
    reason: str = ""
    engine_lives: bool = False

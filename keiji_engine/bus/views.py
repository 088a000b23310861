"""What the messages of the bus show: engine, services and tasks as people see them, and how a link to them stands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import msgspec

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
    """The engine itself. ``boot`` is new at each start."""

    pid: int
    version: str
    boot: str
    started_at: datetime
    workspace: str
    database: str
    time_zone: str


class RecentRun(msgspec.Struct, frozen=True, kw_only=True):
    """As much of an ended run as a table shows."""

    run_id: str
    state: RunState
    finished_at: datetime
    seconds: float | None = None
    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""


class TaskView(msgspec.Struct, frozen=True, kw_only=True):
    """A task as people and programs see it.

    Args:
        schedule: the seed's form, such as "units:seconds,interval:10"; "" before the first build.
        schedule_words: the same in words.
        type: "HMS" or "DayTime"; "" before the first build.
        running_since: when the live run began; None while nothing runs.
        retry_at: when a failed run is tried again; None when it is not.
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
    schedule_words: str = ""
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

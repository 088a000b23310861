"""What is known of a task, a build, a run and its result. All moments are aware and in UTC."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from keiji.policy import Policy
from keiji.reasons import Reason
from keiji.schedule import Schedule
from keiji.states import LIVE, RunState, Trigger


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Nothing that is due is started for now. ``by`` is who asked for it, such as "keiji"."""

    since: datetime
    reason: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One folder under ``tasks/``, as the engine knows it.

    ``schedule`` is placed (anchor, zone) and None until the task is built. ``next_at`` is its next due instant; None
    while the task is disabled, not built, or never due again. ``failures`` counts those since the last success;
    ``held_at`` is when they became too many for its policy.
    """

    id: int
    task_id: str
    name: str
    slug: str
    description: str = ""
    schedule: Schedule | None = None
    policy: Policy = field(default_factory=Policy)
    build: str | None = None
    next_at: datetime | None = None
    last_at: datetime | None = None
    is_disabled: bool = False
    is_error: bool = False
    error: Reason | None = None
    pause: Pause | None = None
    failures: int = 0
    held_at: datetime | None = None

    def start_of(self, instant: datetime) -> datetime:
        """Return when the run for ``instant`` starts: then, or later by the jitter of the policy.

        By how much is drawn from the task and the instant, so that it is the same whenever it is asked for.
        """
        if not self.policy.jitter:
            return instant
        drawn = random.Random(f"{self.task_id} {instant.timestamp()}").random()
        return instant + timedelta(seconds=round(drawn * self.policy.jitter, 3))


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run has got, as it says itself: from 0 to 1, or None where it only says that it goes on."""

    fraction: float | None = None
    words: str = ""
    is_failing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """An immutable copy of a task, ready to run.

    Args:
        hash: over the inputs; also the name of its folder.
        command: argv that runs it, ending in ``--run``.
        files: path → sha256 of each source file, as it was copied.
        import_seconds: how long its module took to import in the gate.
    """

    hash: str
    command: tuple[str, ...]
    files: dict[str, str]
    schedule: Schedule
    policy: Policy
    import_seconds: float
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One attempt to carry out an occurrence, or a request for one.

    Args:
        scheduled_for: the due instant that it belongs to; None for a run that somebody asked for.
        due_at: when a queued run may start.
        reason: why it is in its state, for example that an earlier run is still running.
        attempt: from 1.
        count: how many due instants this row accounts for. Where they are several, none of them ran, and
            ``scheduled_for`` is the first of them.
        scheduled_until: the last of several instants.
        log_start, log_end: positions in the task's log, in bytes.
    """

    run_id: str
    task: str
    trigger: Trigger
    state: RunState
    created_at: datetime
    scheduled_for: datetime | None = None
    due_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    reason: Reason | None = None
    exit_code: int | None = None
    signal: int | None = None
    attempt: int = 1
    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None
    log_start: int | None = None
    log_end: int | None = None
    build: str | None = None
    count: int = 1
    scheduled_until: datetime | None = None

    @property
    def is_live(self) -> bool:
        """Whether it has, or is about to have, a process."""
        return self.state in LIVE

    @property
    def seconds(self) -> float | None:
        """How long it took; None before it ended or when it never started."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How a run ended, as its shim saw it (or as the engine found, for one that is lost)."""

    run_id: str
    state: RunState
    finished_at: datetime
    started_at: datetime | None = None
    reason: Reason | None = None
    exit_code: int | None = None
    signal: int | None = None
    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None
    log_start: int | None = None
    log_end: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The decision about an occurrence, to be recorded as a run.

    Args:
        task: slug of the task.
        next_at: the task's next due instant after this one.
        state: STARTING; QUEUED; or SKIPPED, MISSED or COALESCED with a ``reason``.
        build: hash of the build to run.
        due_at: when a QUEUED run may start.
        count: number of due instants that it accounts for, from ``scheduled_for`` to ``scheduled_until``.
    """

    task: str
    scheduled_for: datetime
    next_at: datetime | None
    state: RunState
    reason: Reason | None = None
    build: str | None = None
    due_at: datetime | None = None
    count: int = 1
    scheduled_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDifference:
    """The difference between a source file and its version in the active build.

    Args:
        change: "added", "removed", "edited", or "mode" if only the executable bit differs.
        lines: a unified diff without the file header.
        note: why the lines are not shown, or not all of them; "" if they are complete.
    """

    path: str
    change: str
    lines: tuple[str, ...] = ()
    note: str = ""

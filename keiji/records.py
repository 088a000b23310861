"""The records of tasks, builds, runs and run results. All datetimes are aware and in UTC."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from keiji.parameters import Parameter
from keiji.policy import Policy
from keiji.reasons import Reason
from keiji.schedule import Schedule
from keiji.states import LIVE, BackfillState, RunState, Trigger


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A pause of a task or of the whole system: occurrences are skipped. ``by`` is the client program."""

    since: datetime
    reason: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """The state of one folder under ``tasks/``.

    ``schedule`` has its context, and is None until the task is built. ``next_at`` is the next due instant; None while
    the task is disabled, not built, or never due again. ``failures`` counts the failures since the last success;
    ``held_at`` is the time at which they reached the limit of the policy. ``broken`` is the reason why the schedule,
    the policy or the build cannot be read from the database; None if they can. A broken task does not run.
    ``rolled_back_from`` is the build that a rollback replaced; None unless the active build is the result of one.
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
    broken: Reason | None = None
    rolled_back_from: str | None = None

    def start_time(self, instant: datetime) -> datetime:
        """Return the start time of the run that is due at ``instant``: ``instant`` plus the jitter of the policy.

        The random generator is seeded with the task and the instant, so the result is always the same.
        """
        if not self.policy.jitter:
            return instant
        fraction = random.Random(f"{self.task_id} {instant.timestamp()}").random()
        return instant + timedelta(seconds=round(fraction * self.policy.jitter, 3))


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The progress that a run reports: ``fraction`` is from 0 to 1, or None if it is unknown."""

    fraction: float | None = None
    message: str = ""
    is_failing: bool = False


class TaskKind(StrEnum):
    """What a run of a task executes: a Python function, a command, or a line for a shell."""

    PYTHON = "python"
    COMMAND = "command"
    SHELL = "shell"


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How a build is executed, apart from its schedule and its policy.

    Args:
        program: path of the program of a command when the task was built; relative if it is a file of the build. ""
            for a Python task.
        cwd: working folder; "" for the task's own.
        stdin: text that the run reads from standard input.
        ok_exit_codes: the exit codes that count as success.
        env: environment variables. Those of ``.env`` take precedence.
        parameters: the parameters that a run can be started with.
    """

    kind: TaskKind = TaskKind.PYTHON
    program: str = ""
    cwd: str = ""
    stdin: str = ""
    ok_exit_codes: tuple[int, ...] = (0,)
    env: dict[str, str] = field(default_factory=dict)
    parameters: tuple[Parameter, ...] = ()
    tags: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the values that differ from the defaults as plain JSON data; `from_dict` reverses it."""
        data = {each.name: getattr(self, each.name) for each in fields(self)}
        default = Execution()
        data["parameters"] = [parameter.to_dict() for parameter in self.parameters]
        return {name: value for name, value in data.items() if value and value != getattr(default, name)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Execution:
        """Return what `to_dict` stored. Raises LookupError, TypeError or ValueError if ``data`` is invalid."""
        return cls(
            kind=TaskKind(data.get("kind", TaskKind.PYTHON)),
            program=str(data.get("program", "")),
            cwd=str(data.get("cwd", "")),
            stdin=str(data.get("stdin", "")),
            ok_exit_codes=tuple(int(code) for code in data.get("ok_exit_codes", (0,))),
            env={str(name): str(value) for name, value in dict(data.get("env", {})).items()},
            parameters=tuple(Parameter.from_dict(each) for each in data.get("parameters", ())),
            tags=tuple(str(tag) for tag in data.get("tags", ())),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """An immutable copy of a task, ready to run.

    Args:
        hash: hash of the inputs; also the name of the build folder.
        command: argv that runs it in its folder: the interpreter and its options, ``entry.py``, ``--run``. Builds of
            earlier versions have an absolute path in place of ``entry.py``; see `keiji_engine.builds.command_of`.
            That of a command task is the command as in task.toml.
        files: path → sha256 of each source file at the time of the copy.
        import_seconds: import time of the task's module during validation.
        execution: how it is executed.
        is_pinned: whether its task keeps it; see `TaskRepository.set_pinned`.
    """

    hash: str
    command: tuple[str, ...]
    files: dict[str, str]
    schedule: Schedule
    policy: Policy
    import_seconds: float
    created_at: datetime
    execution: Execution = field(default_factory=Execution)
    is_pinned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedBuild:
    """What the history of a task has about one of its builds.

    Args:
        activated_at: when it last became the active build.
        activated_by: the user or the client program that activated it; "" if unknown.
        files: the number of source files.
    """

    hash: str
    created_at: datetime
    activated_at: datetime
    activated_by: str
    is_pinned: bool
    files: int


ParamValue = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What differs in one run from the configuration of its task.

    Args:
        env: environment variables, in addition to those of the task.
        timeout: time limit in seconds in place of the policy's; None for the policy's.
        due: the instant that a manual run covers; None for none.
    """

    env: dict[str, str] = field(default_factory=dict)
    timeout: float | None = None
    due: datetime | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the overrides as plain JSON data; `from_dict` reverses it."""
        data: dict[str, Any] = {}
        if self.env:
            data["env"] = self.env
        if self.timeout is not None:
            data["timeout"] = self.timeout
        if self.due is not None:
            data["due"] = self.due.isoformat()
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Overrides:
        """Return what `to_dict` stored. Raises TypeError, ValueError or AttributeError if ``data`` is invalid."""
        env, timeout, due = data.get("env", {}), data.get("timeout"), data.get("due")
        return cls(
            env={str(name): str(value) for name, value in env.items()},
            timeout=None if timeout is None else float(timeout),
            due=None if due is None else datetime.fromisoformat(due),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One attempt to execute an occurrence or a manual request; or a record of occurrences that did not run.

    Args:
        scheduled_for: the due instant; None for a manual run.
        due_at: earliest start of a queued run.
        reason: why it is in its state.
        attempt: number of the attempt, from 1.
        count: number of due instants that this row covers. If there are several, none of them ran, and
            ``scheduled_for`` is the first.
        scheduled_until: the last of several instants.
        log_start, log_end: byte positions in the log of the task.
        series: 0 for the runs of the schedule and for manual runs. Each rerun and each backfill has a series of its
            own, so that an instant can run again.
        params: the parameters of the run, by name.
        covers: number of instants that a run covers which catches up: ``scheduled_for`` and those that were coalesced.
        covers_from: the first of them; None if there is only one.
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
    series: int = 0
    params: dict[str, ParamValue] = field(default_factory=dict)
    overrides: Overrides | None = None
    covers_from: datetime | None = None
    covers: int = 1

    @property
    def is_live(self) -> bool:
        """Whether the run has a process, or one is being started."""
        return self.state in LIVE

    @property
    def seconds(self) -> float | None:
        """The duration; None if the run has not ended or never started. 0 if the clock was set back by more."""
        if self.started_at is None or self.finished_at is None:
            return None
        return max((self.finished_at - self.started_at).total_seconds(), 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """A request to run each instant of a schedule within a range.

    Args:
        series: that of its runs.
        first, last: the first and the last instant of the schedule in the range.
        schedule: the schedule of the task when the backfill was created, with its context.
        parallel: maximum number of its runs at a time.
        again: whether instants that have succeeded run again.
        next_at: the next instant to run; None if none is left.
        total: number of instants from ``first`` to ``last``.
        skipped: number of instants that were passed over because they had succeeded.
        claimed: number of instants that have a run, of which ``succeeded`` and ``failed`` have ended.
        created_by: the user or the client program that created it.
        finished_at: when its last run ended, or when it was stopped.
    """

    id: int
    task: str
    series: int
    first: datetime
    last: datetime
    schedule: Schedule
    parallel: int = 1
    again: bool = False
    params: dict[str, ParamValue] = field(default_factory=dict)
    overrides: Overrides | None = None
    state: BackfillState = BackfillState.RUNNING
    next_at: datetime | None = None
    total: int = 0
    skipped: int = 0
    claimed: int = 0
    succeeded: int = 0
    failed: int = 0
    created_at: datetime
    created_by: str = ""
    finished_at: datetime | None = None

    @property
    def open(self) -> int:
        """The number of its instants whose run has not ended."""
        return self.claimed - self.succeeded - self.failed


@dataclass(frozen=True, slots=True)
class RunOrigin:
    """Where a run was claimed: the random id of the folder of run files, and the id of the boot; "" if unknown."""

    folder: str
    boot: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """The result of a run, as reported by its shim or, for a lost run, determined by the engine."""

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
        state: STARTING, QUEUED, or SKIPPED, MISSED or COALESCED; the last three have a ``reason``.
        build: hash of the build to run.
        due_at: when a QUEUED run may start.
        count: number of due instants that it accounts for, from ``scheduled_for`` to ``scheduled_until``.
        continues: whether a row that accounts for the instants just before these is extended, if there is one.
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
    continues: bool = False


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

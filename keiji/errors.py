"""The exception hierarchy of keiji.

The docstring of a class is its default message. ``code`` identifies the error on the bus, ``params`` has its details as
data, ``exit_code`` is the exit status of the command line, and ``hint`` says what to do next. The class methods compose
the messages of errors that occur in several places.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self


class KeijiError(Exception):
    """The operation failed."""

    code: ClassVar[str] = "failed"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str = "", *, hint: str = "", params: Mapping[str, str | int] | None = None) -> None:
        self.message = message or (type(self).__doc__ or "").strip()
        self.hint = hint
        self.params = dict(params or {})
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class InvalidSchedule(KeijiError, ValueError):
    """The schedule is invalid."""

    code = "invalid-schedule"
    exit_code = 2


class InvalidPolicy(KeijiError, ValueError):
    """The policy is invalid."""

    code = "invalid-policy"


class InvalidName(KeijiError, ValueError):
    """The task name is invalid."""

    code = "invalid-name"
    exit_code = 2


class InvalidTaskFile(KeijiError, ValueError):
    """The task.toml is invalid."""

    code = "invalid-task-file"
    exit_code = 2


class InvalidSettings(KeijiError, ValueError):
    """The settings are invalid."""

    code = "invalid-settings"


class UsageError(KeijiError):
    """The command is invalid."""

    code = "usage"
    exit_code = 2


class TaskNotFound(KeijiError, LookupError):
    """The task does not exist."""

    code = "task-not-found"
    exit_code = 4

    @classmethod
    def named(cls, name: str, *, hint: str = "keiji task list shows all tasks") -> Self:
        """Return the error for an unknown task name."""
        return cls(f"there is no task {name!r}", hint=hint, params={"task": name})


class RunNotFound(KeijiError, LookupError):
    """The run does not exist."""

    code = "run-not-found"
    exit_code = 4

    @classmethod
    def with_id(cls, run_id: str) -> Self:
        """Return the error for an unknown run id."""
        hint = "keiji task runs NAME --wide shows the ids of runs"
        return cls(f"there is no run {run_id!r}", hint=hint, params={"run": run_id})


class TaskExists(KeijiError):
    """A task with this name already exists."""

    code = "task-exists"


class NotBuilt(KeijiError):
    """The task has no build yet."""

    code = "not-built"

    @classmethod
    def named(cls, name: str, slug: str) -> Self:
        """Return the error for a task that has never been built."""
        return cls(f"{name} has no build yet", hint=f"keiji task build {slug} builds it", params={"task": slug})

    @classmethod
    def missing(cls, slug: str, build: str) -> Self:
        """Return the error for a task whose active build was removed."""
        params = {"task": slug, "build": build}
        return cls(f"the build {build} of {slug} is missing; keiji task build {slug} restores it", params=params)


class TaskBroken(KeijiError):
    """What the database has about the task cannot be read."""

    code = "task-broken"

    @classmethod
    def named(cls, name: str, slug: str, why: str) -> Self:
        """Return the error for a task whose record, or that of its build, cannot be read."""
        return cls(f"{name}: {why}", hint=f"keiji task build {slug} repairs it", params={"task": slug})


class NotRunning(KeijiError):
    """The task is not running."""

    code = "not-running"

    @classmethod
    def named(cls, name: str, slug: str) -> Self:
        """Return the error for a task that has no live run."""
        return cls(f"{name} is not running", hint=f"keiji task runs {slug} shows its history", params={"task": slug})


class AlreadyRunning(KeijiError):
    """The task is already running."""

    code = "already-running"

    @classmethod
    def once(cls, slug: str, run_id: str) -> Self:
        """Return the error for a task that has a live run, and whose policy allows only one."""
        message = f"{slug} is already running (run {run_id}), and its policy allows one run at a time (overlap='skip')"
        hint = f"keiji task stop {slug} stops it"
        return cls(message, hint=hint, params={"task": slug, "run": run_id})

    @classmethod
    def waiting(cls, slug: str, run_id: str) -> Self:
        """Return the error for a task whose manual run waits, and whose policy allows no other."""
        message = (
            f"a run of {slug} is already waiting (run {run_id}), and its policy allows one at a time (overlap='skip')"
        )
        hint = f"keiji task explain {slug} says what it waits for"
        return cls(message, hint=hint, params={"task": slug, "run": run_id})

    @classmethod
    def queue_full(cls, slug: str, limit: int) -> Self:
        """Return the error for a task that has as many queued runs as its policy allows."""
        message, hint = (
            f"the queue of {slug} is full (queue={limit})",
            f"keiji task stop {slug} cancels the queued runs",
        )
        return cls(message, hint=hint, params={"task": slug, "limit": limit})


class BackfillNotFound(KeijiError, LookupError):
    """The backfill does not exist."""

    code = "backfill-not-found"
    exit_code = 4

    @classmethod
    def with_id(cls, backfill: int) -> Self:
        """Return the error for an unknown id."""
        hint = "keiji task backfill --list lists the backfills"
        return cls(f"there is no backfill {backfill}", hint=hint, params={"backfill": backfill})


class BackfillRunning(KeijiError):
    """The task has a backfill that is running."""

    code = "backfill-running"

    @classmethod
    def named(cls, slug: str, backfill: int) -> Self:
        """Return the error for a second backfill of a task."""
        message = f"{slug} already has a running backfill ({backfill})"
        hint = f"wait until it is done, or stop it: keiji task backfill --stop {backfill}"
        return cls(message, hint=hint, params={"task": slug, "backfill": backfill})


class BuildFailed(KeijiError):
    """The build failed."""

    code = "build-failed"


class BuildNotFound(KeijiError, LookupError):
    """The task has no such build."""

    code = "build-not-found"
    exit_code = 4

    @classmethod
    def named(cls, slug: str, build: str) -> Self:
        """Return the error for an unknown build."""
        hint = f"keiji task builds {slug} lists its builds"
        return cls(f"{slug} has no build {build!r}", hint=hint, params={"task": slug, "build": build})


class BuildPinned(KeijiError):
    """The active build of the task is pinned."""

    code = "build-pinned"

    @classmethod
    def named(cls, slug: str, build: str) -> Self:
        """Return the error for replacing a pinned build."""
        message = f"{slug} keeps its build {build}, which is pinned"
        hint = f"keiji task unpin {slug} releases it"
        return cls(message, hint=hint, params={"task": slug, "build": build})


class WorkspaceMissing(KeijiError):
    """The workspace does not exist."""

    code = "workspace-missing"


class EngineOffline(KeijiError):
    """The engine is not running."""

    code = "engine-offline"
    exit_code = 3

    @classmethod
    def required(cls) -> Self:
        """Return the error for a request that requires a running engine."""
        return cls("this requires the engine, which is not running", hint="keiji system start starts it")

    @classmethod
    def required_to_stop(cls, name: str, slug: str) -> Self:
        """Return the error for stopping a task that may have a live run of an earlier engine."""
        message = f"{name} may have a live run from an earlier engine; only a running engine can stop it"
        return cls(message, hint="keiji system start, then repeat the command", params={"task": slug})


class EngineRunning(KeijiError):
    """An engine is already running for this workspace."""

    code = "engine-running"


class EngineUnreachable(KeijiError):
    """An engine is running, but it cannot be reached."""

    code = "engine-unreachable"
    exit_code = 5

    @classmethod
    def with_pid(cls, pid: int | None, why: str) -> Self:
        """Return the error for a request to an engine; ``why`` says what is wrong with it."""
        message = f"an engine (pid {pid or 'unknown'}) is running, but {why}"
        hint = "keiji system restart replaces it, keiji system stop --force kills it if it hangs; live runs continue"
        return cls(message, hint=hint, params={"pid": pid} if pid else None)


class ServiceOffline(KeijiError):
    """A required service is stopped."""

    code = "service-offline"
    exit_code = 5

    @classmethod
    def required(cls, service: str) -> Self:
        """Return the error for a request whose required service is stopped."""
        hint = f"keiji system start --{service} starts it"
        return cls(f"this requires the {service}, which is stopped", hint=hint, params={"service": service})


class StorageError(KeijiError):
    """The database operation failed."""

    code = "storage"


class ProtocolError(KeijiError):
    """A message on the bus is invalid."""

    code = "protocol"


class DeadlinePassed(KeijiError):
    """The directive arrived after its deadline and was not executed."""

    code = "deadline-passed"


class IllegalTransition(KeijiError):
    """The state transition of the run is not allowed."""

    code = "illegal-transition"


def by_code(code: str) -> type[KeijiError]:
    """Return the class with ``code``; `KeijiError` itself for a code that this version does not know."""
    pending = [KeijiError]
    while pending:
        candidate = pending.pop()
        if candidate.code == code:
            return candidate
        pending.extend(candidate.__subclasses__())
    return KeijiError


def unwritable_output(error: OSError) -> KeijiError:
    """Return the error for standard output that cannot be written, for example on a full disk."""
    return KeijiError(f"the output cannot be written: {error.strerror}")

"""Everything that keiji refuses or fails to do, as one family.

The docstring of a class is its message when none is given. ``code`` is the name by which an error travels over the
bus, ``exit_code`` is what the command line ends with. ``hint`` says what to do next.
"""

from __future__ import annotations

from typing import ClassVar, Self


class KeijiError(Exception):
    """keiji could not do this."""

    code: ClassVar[str] = "failed"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        self.message = message or (type(self).__doc__ or "").strip()
        self.hint = hint
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class InvalidSchedule(KeijiError, ValueError):
    """This schedule cannot be followed."""

    code = "invalid-schedule"


class InvalidPolicy(KeijiError, ValueError):
    """This policy cannot be followed."""

    code = "invalid-policy"


class InvalidName(KeijiError, ValueError):
    """This cannot be the name of a task."""

    code = "invalid-name"
    exit_code = 2


class InvalidSettings(KeijiError, ValueError):
    """The settings cannot be used."""

    code = "invalid-settings"


class UsageError(KeijiError):
    """This command does not make sense."""

    code = "usage"
    exit_code = 2


class TaskNotFound(KeijiError, LookupError):
    """There is no such task."""

    code = "task-not-found"
    exit_code = 4

    @classmethod
    def named(cls, name: str) -> Self:
        """Return the error for a name that no task has."""
        return cls(f"there is no task {name!r}", hint="keiji task list shows all tasks")


class RunNotFound(KeijiError, LookupError):
    """There is no such run."""

    code = "run-not-found"
    exit_code = 4

    @classmethod
    def with_id(cls, run_id: str) -> Self:
        """Return the error for an id that no run has."""
        return cls(f"there is no run {run_id!r}", hint="keiji task runs NAME lists the runs of a task")


class TaskExists(KeijiError):
    """There is a task of that name already."""

    code = "task-exists"


class NotBuilt(KeijiError):
    """The task has no build yet."""

    code = "not-built"

    @classmethod
    def named(cls, name: str, slug: str) -> Self:
        """Return the error for a task that was never built."""
        return cls(f"{name} has no build yet", hint=f"keiji task build {slug}")


class NotRunning(KeijiError):
    """The task is not running."""

    code = "not-running"


class AlreadyRunning(KeijiError):
    """The task is running already."""

    code = "already-running"


class BuildFailed(KeijiError):
    """The build failed."""

    code = "build-failed"


class WorkspaceMissing(KeijiError):
    """There is no workspace."""

    code = "workspace-missing"


class EngineOffline(KeijiError):
    """The engine is not running."""

    code = "engine-offline"
    exit_code = 3


class EngineRunning(KeijiError):
    """An engine is already running here."""

    code = "engine-running"


class ServiceOffline(KeijiError):
    """The service that this needs is stopped."""

    code = "service-offline"
    exit_code = 3


class StorageError(KeijiError):
    """The database could not be used."""

    code = "storage"


class ProtocolError(KeijiError):
    """A message was not understood."""

    code = "protocol"


class DeadlinePassed(KeijiError):
    """The directive came too late and was not carried out."""

    code = "deadline-passed"


class IllegalTransition(KeijiError):
    """A run cannot go from this state to that one."""

    code = "illegal-transition"


def by_code(code: str) -> type[KeijiError]:
    """Return the class that travels as ``code``; ``KeijiError`` itself when the code is of a newer version."""
    pending = [KeijiError]
    while pending:
        candidate = pending.pop()
        if candidate.code == code:
            return candidate
        pending.extend(candidate.__subclasses__())
    return KeijiError

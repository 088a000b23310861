"""The specification of a run, as the engine sends it to the launcher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """Everything that a shim needs to know to carry out a run.

    Args:
        task: slug of the task.
        command: argv; its first element is an absolute path.
        environment: the complete environment of the child.
        directory: working directory of the child.
        create_directory: whether that is created if it does not exist.
        stdin: text that the child reads from standard input; "" for none, which is /dev/null.
        ok_exit_codes: the exit codes that count as success.
        log_path: log file of the task.
        log_limit: size in bytes at which the log is rotated; None to never rotate it.
        zone: name of the time zone of the times in the log.
        timeout: seconds until the run is stopped as timed out; None for no limit.
        stop_grace: seconds between SIGTERM and SIGKILL.
        leave: what a run may leave behind when it ends by itself, a value of `keiji.policy.Leave`.
        reports_failure: whether the command reports the exception that ends it (see `failure`).
    """

    run_id: str
    task: str
    command: tuple[str, ...]
    environment: dict[str, str]
    directory: str
    log_path: str
    log_limit: int | None
    zone: str
    timeout: float | None
    stop_grace: float
    leave: str
    reports_failure: bool
    create_directory: bool = True
    stdin: str = ""
    ok_exit_codes: tuple[int, ...] = (0,)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RunSpec:
        """Return the spec with the fields in ``data``. Raises KeyError or TypeError if one is missing or invalid."""
        values = {name: data[name] for name in cls.__slots__}
        sequences = {name: tuple(values[name]) for name in ("command", "ok_exit_codes")}
        return cls(**(values | sequences))

"""What a run is asked to do, and how that is written into its run file. The format carries a version."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """Everything that a shim needs to know.

    Args:
        task: slug of the task.
        command: argv; the first is an absolute path.
        environment: the whole environment of the child.
        directory: working folder of the child; made when it is not there.
        log_path: the task's log.
        log_limit: bytes at which the log is rotated; None for never.
        zone: name of the zone for the times in the log.
        timeout: seconds until the run is stopped as timed out; None for no limit.
        stop_grace: seconds between SIGTERM and SIGKILL.
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

    def to_json(self) -> str:
        """Return one line of JSON, without its newline."""
        return json.dumps({"version": VERSION, **asdict(self)})

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RunSpec:
        """Read what `to_json` wrote, parsed. Raises KeyError or TypeError where it is none."""
        values = {name: data[name] for name in cls.__slots__}
        return cls(**(values | {"command": tuple(values["command"])}))

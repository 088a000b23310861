"""The logs of the engine's services, and its life-cycle lines in the logs of tasks: one format, one writer."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from keiji.paths import Paths
from keiji.settings import Settings
from keiji_engine.logs.line_format import format_line
from keiji_engine.logs.writer import LogWriter


class Journal:
    """Writes lines; a log that cannot be written (a full disk) costs the line, never the engine.

    Args:
        settings: called for each line, since a reload may change them.
        echo: whether lines of services also go to standard error, for the foreground and systemd's journal.
    """

    def __init__(
        self, paths: Paths, settings: Callable[[], Settings], clock: Callable[[], datetime], *, echo: bool = False
    ) -> None:
        self._paths = paths
        self._settings = settings
        self._clock = clock
        self._echo = echo

    def service(self, name: str, message: str, level: str = "INFO") -> None:
        """Write a line to the log of a service (or of ``repo``, the database, or of ``engine``, all of it)."""
        text = self._write(self._paths.service_log(name), message, level, name)
        if self._echo:
            _say(f"{name}: {text}")

    def task(self, slug: str, message: str, level: str = "INFO") -> None:
        """Write a life-cycle line to the log of a task."""
        self._write(self._paths.task_log(slug), message, level)

    def _write(self, path: Path, message: str, level: str, service: str | None = None) -> str:
        settings = self._settings()
        line = format_line(self._clock().astimezone(settings.zone), level, message, service=service)
        try:
            with contextlib.closing(LogWriter(path, settings.log_limit, settings.time_zone)) as log:
                log.append(line)
        except OSError as error:
            _say(f"keiji-engine: {path} cannot be written: {error}\n")
        return line.decode()


def _say(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # the terminal that it was started from may be gone
        sys.stderr.write(text)

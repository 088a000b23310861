"""Which logs cannot be written, for example because the disk is full: output is lost while nothing else fails."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from pathlib import Path

from keiji.paths import Paths
from keiji.reasons import Code, Reason, reason
from keiji_engine.logs.service_log import log_task

CHECK_INTERVAL = 1.0  # seconds


class LogHealth:
    """Collects the outcomes of writing to logs, from any thread, and reports logs that cannot be written.

    Args:
        set_problem: called with a log, and why it cannot be written, or None when it can be written again.
        has_task: returns whether there is a task with this slug; the log of a deleted one does not matter.
    """

    def __init__(
        self, paths: Paths, set_problem: Callable[[Path, Reason | None], None], has_task: Callable[[str], bool]
    ) -> None:
        self._paths = paths
        self._set_problem = set_problem
        self._has_task = has_task
        self._failing: dict[Path, str] = {}
        self._lock = threading.Lock()
        self._reported: set[Path] = set()

    def report(self, log: Path, error: OSError | None) -> None:
        """Record that a log was written, or could not be written."""
        if error is None and log not in self._failing:
            return
        with self._lock:
            if error is None:
                self._failing.pop(log, None)
            else:
                self._failing[log] = error.strerror or str(error)

    def report_incomplete(self, slug: str) -> None:
        """Record that the output of a run is missing from the log of its task."""
        with self._lock:
            self._failing.setdefault(self._paths.task_log(slug), "")

    async def serve(self) -> None:
        """Report what changes, until cancelled. A log that cannot be written is tried again with a note."""
        while True:
            with self._lock:
                failing = {log: detail for log, detail in self._failing.items() if self._is_in_use(log)}
                self._failing = dict(failing)
            for log in self._reported - failing.keys():
                self._set_problem(log, None)
            for log, detail in failing.items():
                self._set_problem(log, reason(Code.LOG_UNWRITABLE, path=str(log), detail=detail))
                self._write_note(log, detail)
            self._reported = set(failing)
            await asyncio.sleep(CHECK_INTERVAL)

    def _is_in_use(self, log: Path) -> bool:
        return log != self._paths.task_log(log.parent.name) or self._has_task(log.parent.name)

    def _write_note(self, log: Path, detail: str) -> None:
        name = log.parent.name
        note = "lines are missing: the log could not be written" + (f" ({detail})" if detail else "")
        if log == self._paths.task_log(name):
            log_task(name, note, logging.WARNING)
        else:
            logging.getLogger(f"keiji.{name}").warning("%s", note)

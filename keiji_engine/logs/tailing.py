"""Reads the logs of tasks as text, for the bus."""

from __future__ import annotations

from collections.abc import Callable

from keiji.log_reader import LogReader
from keiji.paths import Paths


class TaskLogs:
    """Reads the log of a task by its slug. The log of a task that has never run is empty.

    Positions are byte offsets in the log. Invalid UTF-8, which only a crash can leave behind, is replaced with U+FFFD.

    Args:
        task_exists: returns whether there is a task with that slug.
    """

    def __init__(self, paths: Paths, task_exists: Callable[[str], bool] = lambda _: True) -> None:
        self._paths = paths
        self._task_exists = task_exists

    def exists(self, task: str) -> bool:
        """Return whether the task exists."""
        return self._task_exists(task)

    def size(self, task: str) -> int:
        """Return the position of the end of the log, in bytes."""
        return self._reader(task).size()

    def read(self, task: str, position: int, limit: int) -> tuple[int, int, str]:
        """Return the start, the end and the text of up to ``limit`` bytes from ``position``.

        If the log was pruned beyond ``position``, the text starts at the oldest position that is still stored.
        """
        start, data = self._reader(task).read(position, limit)
        return start, start + len(data), data.decode("utf-8", "replace")

    def tail(self, task: str, lines: int, limit: int) -> tuple[int, int, str]:
        """Return the start, the end and the text of the last ``lines`` lines, but at most ``limit`` bytes."""
        start, data = self._reader(task).tail(lines, limit)
        return start, start + len(data), data.decode("utf-8", "replace")

    def _reader(self, task: str) -> LogReader:
        return LogReader(self._paths.task_log(task))

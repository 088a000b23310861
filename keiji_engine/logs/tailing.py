"""The logs of tasks, as text by position, for the bus."""

from __future__ import annotations

from collections.abc import Callable

from keiji.log_reader import LogReader
from keiji.paths import Paths


class TaskLogs:
    """Reads the log of a task by its slug. A task that never ran has an empty one.

    Args:
        has: whether there is a task of that slug.

    Lines are written as UTF-8; what a crash tore apart is shown as U+FFFD. Positions count the bytes of the log.
    """

    def __init__(self, paths: Paths, has: Callable[[str], bool] = lambda _: True) -> None:
        self._paths = paths
        self.has = has

    def size(self, task: str) -> int:
        """Return the position at which the log ends, in bytes."""
        return self._reader(task).size()

    def read(self, task: str, position: int, limit: int) -> tuple[int, int, str]:
        """Return text from ``position`` (or the oldest kept after it) on: where it begins, where it ends, itself."""
        begin, data = self._reader(task).read(position, limit)
        return begin, begin + len(data), data.decode("utf-8", "replace")

    def tail(self, task: str, lines: int, limit: int) -> tuple[int, int, str]:
        """Return the last lines, ``limit`` bytes at most, as `read` does."""
        begin, data = self._reader(task).tail(lines, limit)
        return begin, begin + len(data), data.decode("utf-8", "replace")

    def _reader(self, task: str) -> LogReader:
        return LogReader(self._paths.task_log(task))

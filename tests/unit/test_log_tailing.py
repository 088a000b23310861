"""Reading the logs of tasks as text."""

from __future__ import annotations

from pathlib import Path

from keiji.paths import Paths
from keiji_engine.logs.tailing import TaskLogs
from keiji_engine.logs.writer import LogWriter


def test_positions_of_text_are_byte_offsets(tmp_path: Path) -> None:
    paths = Paths.under(tmp_path)
    LogWriter(paths.task_log("a"), None, "UTC").append("zwölf\n報告\nend\n".encode())
    logs = TaskLogs(paths)
    assert logs.size("a") == 18
    assert logs.read("a", 7, 8) == (7, 14, "報告\n")
    assert logs.read("a", 99, 100) == (18, 18, "")
    assert logs.tail("a", 2, 100) == (7, 18, "報告\nend\n")


def test_the_log_of_a_task_that_has_never_run_is_empty(tmp_path: Path) -> None:
    logs = TaskLogs(Paths.under(tmp_path))
    assert (logs.size("a"), logs.read("a", 0, 100), logs.tail("a", 5, 100)) == (0, (0, 0, ""), (0, 0, ""))


def test_invalid_utf8_is_replaced_and_does_not_change_positions(tmp_path: Path) -> None:
    paths = Paths.under(tmp_path)
    LogWriter(paths.task_log("a"), None, "UTC").append(b"bad \xff\nend\n")
    assert TaskLogs(paths).read("a", 0, 100) == (0, 10, "bad \ufffd\nend\n")


def test_only_existing_tasks_have_logs(tmp_path: Path) -> None:
    logs = TaskLogs(Paths.under(tmp_path), lambda slug: slug == "a")
    assert logs.exists("a")
    assert not logs.exists("b")

"""The logs of services and tasks: which record lands where, and what happens if a log cannot be written."""

from __future__ import annotations

import asyncio
import logging
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from installation import TIMEOUT, until

from keiji.paths import Paths
from keiji.settings import Settings
from keiji_engine.logs.line_format import parse_line
from keiji_engine.logs.service_log import (
    MAX_BACKLOG,
    STALLED_AFTER,
    LogfmtHandler,
    ServiceLogWriter,
    log_synchronously,
    log_task,
)

SETTINGS = Settings(time_zone="Africa/Nairobi")
SHORT = 0.2  # seconds

runner = logging.getLogger("keiji.runner")
bus = logging.getLogger("keiji.bus")

HOLD_LOCK = """
import sys
from keiji import file_lock
with open(sys.argv[1], "ab") as file:
    file_lock.lock(file.fileno())
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.under(tmp_path)


@pytest.fixture
def logs(paths: Paths) -> Iterator[ServiceLogWriter]:
    made = ServiceLogWriter(LogfmtHandler(paths, lambda: SETTINGS))
    made.start()
    yield made
    made.close(TIMEOUT)


@pytest.fixture
def lock(paths: Paths) -> Iterator[Callable[[Path], subprocess.Popen[str]]]:
    """Locks a log in another process until that process is killed."""
    processes: list[subprocess.Popen[str]] = []

    def lock_in_process(path: Path) -> subprocess.Popen[str]:
        path.parent.mkdir(parents=True, exist_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD_LOCK, f"{path}.lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        return process

    yield lock_in_process
    for process in processes:
        process.kill()
        process.communicate()


def lines(path: Path) -> list[tuple[str, str]]:
    """Return the level and the message of each line of a log."""
    if not path.exists():
        return []
    return [(line.level, line.msg) for line in map(parse_line, path.read_bytes().splitlines())]


def test_a_record_lands_in_the_log_of_its_service(logs: ServiceLogWriter, paths: Paths) -> None:
    runner.info("adopted run %s", "r1")
    bus.info("online")
    logging.getLogger("keiji.runner.launcher").info("started")
    logging.getLogger("keiji").info("without a service")
    assert logs.flush(TIMEOUT)
    assert lines(paths.service_log("runner")) == [("INFO", "adopted run r1"), ("INFO", "started")]
    assert lines(paths.service_log("bus")) == [("INFO", "online")]
    assert lines(paths.service_log("engine")) == [("INFO", "without a service")]


def test_the_levels_have_the_names_of_the_log_format(logs: ServiceLogWriter, paths: Paths) -> None:
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
        runner.log(level, "text")
    assert logs.flush(TIMEOUT)
    assert [level for level, _ in lines(paths.service_log("runner"))] == ["INFO", "WARN", "ERROR", "ERROR"]


def test_a_line_names_its_service_and_has_the_time_of_the_zone(logs: ServiceLogWriter, paths: Paths) -> None:
    runner.info('a "quoted"\nline')
    assert logs.flush(TIMEOUT)
    text = paths.service_log("runner").read_text()
    assert text.count("\n") == 1
    assert "+03:00 level=INFO service=runner msg=" in text
    assert lines(paths.service_log("runner")) == [("INFO", 'a "quoted"\nline')]


def test_a_line_of_a_task_lands_in_the_log_of_the_task(logs: ServiceLogWriter, paths: Paths) -> None:
    log_task("ping", "task enabled")
    log_task("ping", "task held 100%", logging.ERROR)
    assert logs.flush(TIMEOUT)
    assert lines(paths.task_log("ping")) == [("INFO", "task enabled"), ("ERROR", "task held 100%")]
    assert "service=" not in paths.task_log("ping").read_text()
    assert not any(paths.service_log(name).exists() for name in ("task", "engine"))


def test_an_exception_is_logged_with_its_traceback(logs: ServiceLogWriter, paths: Paths) -> None:
    try:
        int("boom")
    except ValueError:
        runner.exception("the run failed")
    assert logs.flush(TIMEOUT)
    [(level, message)] = lines(paths.service_log("runner"))
    first, *_, last = message.splitlines()
    assert (level, first, last) == (
        "ERROR",
        "the run failed",
        "ValueError: invalid literal for int() with base 10: 'boom'",
    )
    assert "Traceback (most recent call last):" in message
    assert "test_service_log.py" in message


def test_after_a_flush_everything_that_was_logged_before_is_written(logs: ServiceLogWriter, paths: Paths) -> None:
    for number in range(200):
        runner.info("line %d", number)
    assert logs.flush(TIMEOUT)
    assert [message for _, message in lines(paths.service_log("runner"))] == [f"line {n}" for n in range(200)]


def test_closing_writes_what_is_left_and_detaches_from_the_loggers(paths: Paths) -> None:
    handlers = list(logging.getLogger("keiji").handlers)
    logs = ServiceLogWriter(LogfmtHandler(paths, lambda: SETTINGS))
    logs.start()
    runner.info("the last line")
    logs.close(TIMEOUT)
    assert lines(paths.service_log("runner")) == [("INFO", "the last line")]
    assert logging.getLogger("keiji").handlers == handlers
    assert logging.getLogger("keiji").propagate


def test_services_are_echoed_to_standard_error_and_tasks_are_not(
    paths: Paths, capfd: pytest.CaptureFixture[str]
) -> None:
    logs = ServiceLogWriter(LogfmtHandler(paths, lambda: SETTINGS, echo=True))
    logs.start()
    runner.info("online")
    log_task("ping", "task enabled")
    logs.close(TIMEOUT)
    [line] = capfd.readouterr().err.splitlines()
    assert line.startswith("runner: time=")
    assert line.endswith('msg="online"')


async def test_a_locked_log_blocks_neither_the_event_loop_nor_a_flush(
    logs: ServiceLogWriter, paths: Paths, lock: Callable[[Path], subprocess.Popen[str]]
) -> None:
    other = lock(paths.service_log("runner"))
    loop = asyncio.get_running_loop()
    started_at = loop.time()
    runner.info("line 1")
    log_task("ping", "task enabled")
    assert loop.time() - started_at < SHORT, "logging only queues the record"
    assert not await asyncio.to_thread(logs.flush, SHORT)
    assert SHORT <= loop.time() - started_at < TIMEOUT / 2
    other.kill()
    assert await asyncio.to_thread(logs.flush, TIMEOUT)
    assert lines(paths.service_log("runner")) == [("INFO", "line 1")]
    assert lines(paths.task_log("ping")) == [("INFO", "task enabled")]


def test_a_locked_log_delays_only_its_own_lines_which_keep_their_order(
    logs: ServiceLogWriter, paths: Paths, lock: Callable[[Path], subprocess.Popen[str]]
) -> None:
    others = [lock(paths.task_log(name)) for name in ("a", "b", "c")]
    for number in range(100):
        for name in ("a", "b", "c", "d"):
            log_task(name, f"line {number}")
        runner.info("line %d", number)
    expected = [("INFO", f"line {number}") for number in range(100)]
    until(lambda: lines(paths.task_log("d")) == lines(paths.service_log("runner")) == expected)
    assert lines(paths.task_log("a")) == []
    for other in others:
        other.kill()
    assert logs.flush(TIMEOUT)
    assert [lines(paths.task_log(name)) for name in ("a", "b", "c")] == [expected] * 3


def test_a_flush_does_not_wait_for_a_log_that_has_been_locked_for_a_while(
    logs: ServiceLogWriter, paths: Paths, lock: Callable[[Path], subprocess.Popen[str]]
) -> None:
    lock(paths.task_log("a"))
    log_task("a", "line")
    assert logs.flush(TIMEOUT), "after a moment, the log counts as stalled"
    log_task("b", "line")
    started_at = time.monotonic()
    assert logs.flush(TIMEOUT)
    assert time.monotonic() - started_at < STALLED_AFTER
    assert lines(paths.task_log("b")) == [("INFO", "line")]


def test_lines_of_a_log_that_stays_locked_do_not_fill_the_memory(
    logs: ServiceLogWriter, paths: Paths, lock: Callable[[Path], subprocess.Popen[str]]
) -> None:
    other = lock(paths.task_log("a"))
    for number in range(MAX_BACKLOG + 5):
        log_task("a", f"line {number}")
    assert logs.flush(TIMEOUT)
    other.kill()
    until(lambda: len(lines(paths.task_log("a"))) == MAX_BACKLOG)
    until(lambda: "5 lines are lost" in str(lines(paths.service_log("engine"))))


def test_a_log_whose_folder_was_removed_is_created_again_and_is_private(logs: ServiceLogWriter, paths: Paths) -> None:
    log_task("a", "line 1")
    assert logs.flush(TIMEOUT)
    shutil.rmtree(paths.logs)
    log_task("a", "line 2")
    assert logs.flush(TIMEOUT)
    assert lines(paths.task_log("a")) == [("INFO", "line 2")]
    assert {path.stat().st_mode & 0o777 for path in (paths.logs, paths.task_log("a").parent)} == {0o700}


def test_direct_logging_gives_up_on_a_locked_log(
    paths: Paths, lock: Callable[[Path], subprocess.Popen[str]], capfd: pytest.CaptureFixture[str]
) -> None:
    lock(paths.task_log("a"))
    with log_synchronously(LogfmtHandler(paths, lambda: SETTINGS, lock_timeout=SHORT)):
        log_task("a", "lost")
        log_task("b", "written")
    assert lines(paths.task_log("b")) == [("INFO", "written")]
    assert "another process has locked it" in capfd.readouterr().err


def test_a_locked_log_does_not_prevent_a_shutdown(paths: Paths, lock: Callable[[Path], subprocess.Popen[str]]) -> None:
    other = lock(paths.service_log("runner"))
    logs = ServiceLogWriter(LogfmtHandler(paths, lambda: SETTINGS))
    logs.start()
    runner.info("too late")
    started_at = time.monotonic()
    logs.close(SHORT)
    assert time.monotonic() - started_at < TIMEOUT / 2
    other.kill()
    until(lambda: lines(paths.service_log("runner")), "the thread ends with what was queued")


def test_a_full_disk_costs_only_the_lines_that_it_cannot_hold(
    logs: ServiceLogWriter, paths: Paths, capfd: pytest.CaptureFixture[str]
) -> None:
    log = paths.service_log("runner")
    log.parent.mkdir(parents=True)
    log.symlink_to("/dev/full")
    runner.info("lost")
    bus.info("online")
    assert logs.flush(TIMEOUT)
    assert lines(paths.service_log("bus")) == [("INFO", "online")]
    assert f"keiji-engine: {log} cannot be written: " in capfd.readouterr().err
    log.unlink()
    runner.info("there is room again")
    assert logs.flush(TIMEOUT)
    assert lines(log) == [("INFO", "there is room again")]


def test_a_folder_that_cannot_be_created_costs_only_its_lines(
    logs: ServiceLogWriter, paths: Paths, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = paths.service_log("runner").parent
    folder.parent.mkdir(parents=True)
    folder.write_text("a file")
    runner.info("lost")
    bus.info("online")
    assert logs.flush(TIMEOUT)
    assert lines(paths.service_log("bus")) == [("INFO", "online")]
    assert "cannot be written" in capfd.readouterr().err


def test_a_record_that_cannot_be_formatted_costs_only_its_line(
    logs: ServiceLogWriter, paths: Paths, capfd: pytest.CaptureFixture[str]
) -> None:
    runner.info("not text: \ud800")
    runner.info("%d runs", "many")
    runner.info("online")
    assert logs.flush(TIMEOUT)
    assert lines(paths.service_log("runner")) == [("INFO", "online")]
    assert capfd.readouterr().err.count("Logging error") == 2


def test_direct_logging_writes_at_once_and_only_what_its_own_thread_logs(paths: Paths) -> None:
    other = threading.Thread(target=lambda: runner.info("by another thread"))
    with log_synchronously(LogfmtHandler(paths, lambda: SETTINGS)):
        other.start()
        other.join()
        log_task("ping", "task enabled")
        assert lines(paths.task_log("ping")) == [("INFO", "task enabled")]
        runner.info("by this thread")
    runner.info("afterwards")
    assert lines(paths.service_log("runner")) == [("INFO", "by this thread")]

"""The logs of services, and life-cycle lines in the logs of tasks, written with the standard `logging` package.

The loggers are ``keiji.<service>`` (also ``keiji.repo``, the database, and ``keiji.engine``), and ``keiji.task``,
whose records have the slug of the task: ``extra={"task": slug}``.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from keiji.formats import format_duration
from keiji.paths import Paths
from keiji.settings import Settings
from keiji_engine.logs.line_format import format_line
from keiji_engine.logs.writer import LogWriter

_ROOT = logging.getLogger("keiji")
_ROOT.addHandler(logging.NullHandler())
LOCK_TIMEOUT = 5.0  # seconds for which a command without an engine waits for a log that is locked
RETRY_FIRST, RETRY_LAST = 0.005, 0.25  # seconds between two attempts to write a log that is locked
STALLED_AFTER = 0.5  # seconds
MAX_BACKLOG = 10_000  # lines per log
_MAX_BATCH = 1000  # records
_LEVELS = {"WARNING": "WARN", "CRITICAL": "ERROR"}  # level names in keiji's logs

_log = logging.getLogger("keiji.engine")
_task_log = logging.getLogger("keiji.task")


def log_task(slug: str, message: str, level: int = logging.INFO) -> None:
    """Write a life-cycle line to the log of a task."""
    _task_log.log(level, "%s", message, extra={"task": slug})


class LogfmtHandler(logging.Handler):
    """Appends each record to the log of its service or task.

    A line that cannot be written, for example because the disk is full, is lost, with a note on standard error.

    Args:
        settings: returns the current settings; called for each record, since a reload may change them.
        on_written: called with each log that was written, and with the error if that failed; in any thread.
        echo: whether lines of services also go to standard error, for the foreground and systemd's journal.
        lock_timeout: seconds to wait for a log that another process has locked.
    """

    def __init__(
        self,
        paths: Paths,
        settings: Callable[[], Settings],
        *,
        echo: bool = False,
        lock_timeout: float = LOCK_TIMEOUT,
        on_written: Callable[[Path, OSError | None], None] = lambda _log, _error: None,
    ) -> None:
        super().__init__()
        self._on_written = on_written
        self._paths = paths
        self._settings = settings
        self._echo = echo
        self._lock_timeout = lock_timeout

    def emit(self, record: logging.LogRecord) -> None:
        line = self.to_line(record)
        if line is None:
            return
        deadline = time.monotonic() + self._lock_timeout
        while not self.write([line]):
            if time.monotonic() > deadline:
                _print_error(f"keiji: {line.path} cannot be written: another process has locked it\n")
                return
            time.sleep(RETRY_FIRST)

    def to_line(self, record: logging.LogRecord) -> Line | None:
        """Return the line for a record, echoed if wanted; None, with a note, if the record cannot be formatted."""
        task: str | None = getattr(record, "task", None)
        service = None if task is not None else _service_of(record)
        try:
            moment = datetime.fromtimestamp(record.created, self._settings().zone)
            level = _LEVELS.get(record.levelname, record.levelname)
            data = format_line(moment, level, self.format(record), service=service)
            if self._echo and service is not None:
                _print_error(f"{service}: {data.decode()}")
        except Exception:  # noqa: BLE001 - for example a message that is not valid text; later lines must be written
            self.handleError(record)
            return None
        return Line(self._paths.service_log(service) if service is not None else self._paths.task_log(str(task)), data)

    def write(self, lines: Sequence[Line]) -> bool:
        """Append lines of one log; return False, without waiting, if another process has locked it."""
        path, settings = lines[0].path, self._settings()
        try:
            with contextlib.closing(LogWriter(path, settings.log_limit, settings.time_zone)) as log:
                log.append(b"".join(line.data for line in lines), wait=False)
            self._on_written(path, None)
        except BlockingIOError:
            return False
        except OSError as error:
            self._on_written(path, error)
            _print_error(f"keiji-engine: {path} cannot be written: {error}\n")
        return True


class Line(NamedTuple):
    """A line, and the log that it belongs to."""

    path: Path
    data: bytes


@dataclass(slots=True)
class _Backlog:
    """The lines of one log that are not written yet; the log is locked by another process if there have been attempts.

    Args:
        since: when the first line was queued, by the monotonic clock.
        retry_at: when to try next.
        delay: seconds until the attempt after the next one.
    """

    since: float
    retry_at: float
    lines: list[Line] = field(default_factory=list)
    delay: float = RETRY_FIRST
    lost: int = 0  # lines that were dropped because there were too many


@dataclass(slots=True)
class _Flush:
    """A caller that waits until some logs are written."""

    waiting_for: set[Path]
    written: threading.Event


class ServiceLogWriter:
    """Writes log records in a thread, so that neither the disk nor the lock of a log blocks the event loop.

    The lines of each log keep their order. A log that another process has locked delays no other log.
    """

    def __init__(self, handler: LogfmtHandler) -> None:
        self._records: queue.SimpleQueue[logging.LogRecord | threading.Event | None] = queue.SimpleQueue()
        self._handler = handler
        self._queue_handler = _QueueHandler(self._records)
        self._backlogs: dict[Path, _Backlog] = {}
        self._flushes: list[_Flush] = []

    def start(self) -> None:
        """Start writing the records of the ``keiji`` loggers."""
        threading.Thread(target=self._write, name="service logs", daemon=True).start()
        _ROOT.setLevel(logging.INFO)
        _ROOT.propagate = False
        _ROOT.addHandler(self._queue_handler)

    def flush(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds until all records logged so far are written; return whether they are.

        A log that has been locked by another process for more than `STALLED_AFTER` seconds is not waited for.
        """
        written = threading.Event()
        self._records.put(written)
        return written.wait(timeout)

    def close(self, timeout: float) -> None:
        """Write the queued records, for at most ``timeout`` seconds, and stop."""
        _ROOT.removeHandler(self._queue_handler)
        _ROOT.propagate = True
        self.flush(timeout)
        self._records.put(None)

    def _write(self) -> None:
        is_closing = False
        while self._backlogs or not is_closing:
            for item in self._next_items():
                if item is None:
                    is_closing = True
                elif isinstance(item, threading.Event):
                    self._flushes.append(_Flush(set(self._backlogs), item))
                elif (line := self._handler.to_line(item)) is not None:
                    self._add(line)
            self._write_backlogs()
            self._end_flushes()

    def _next_items(self) -> list[logging.LogRecord | threading.Event | None]:
        """Wait for an item, or until a log has to be tried again; return all that are queued."""
        retry_at = min((backlog.retry_at for backlog in self._backlogs.values()), default=None)
        timeout = None if retry_at is None else max(0.0, retry_at - time.monotonic())
        items: list[logging.LogRecord | threading.Event | None] = []
        with contextlib.suppress(queue.Empty):
            items.append(self._records.get(timeout=timeout))
            while len(items) < _MAX_BATCH:
                items.append(self._records.get_nowait())
        return items

    def _add(self, line: Line) -> None:
        now = time.monotonic()
        backlog = self._backlogs.setdefault(line.path, _Backlog(since=now, retry_at=now))
        if len(backlog.lines) < MAX_BACKLOG:
            backlog.lines.append(line)
        else:
            backlog.lost += 1

    def _write_backlogs(self) -> None:
        now = time.monotonic()
        for path, backlog in list(self._backlogs.items()):
            if backlog.retry_at > now:
                continue
            if self._handler.write(backlog.lines):
                del self._backlogs[path]
                if backlog.lost:
                    _log.warning(
                        "%s was locked for %s; %d lines are lost",
                        path,
                        format_duration(now - backlog.since, decimals=0),
                        backlog.lost,
                    )
            else:
                backlog.retry_at, backlog.delay = now + backlog.delay, min(2 * backlog.delay, RETRY_LAST)

    def _end_flushes(self) -> None:
        now = time.monotonic()
        pending = {path for path, backlog in self._backlogs.items() if now - backlog.since < STALLED_AFTER}
        for waiting in list(self._flushes):
            waiting.waiting_for &= pending
            if not waiting.waiting_for:
                waiting.written.set()
                self._flushes.remove(waiting)


class _QueueHandler(logging.Handler):
    """Queues records. Unlike the handler of the standard library, it leaves formatting tracebacks, which reads source
    files, to the thread.
    """

    def __init__(self, records: queue.SimpleQueue[logging.LogRecord | threading.Event | None]) -> None:
        super().__init__()
        self._records = records

    def emit(self, record: logging.LogRecord) -> None:
        try:
            record.msg, record.args = record.getMessage(), None  # the arguments may change until it is written
        except Exception:  # noqa: BLE001 - a wrong format string in keiji must not fail its caller
            self.handleError(record)
        else:
            self._records.put(record)


@contextlib.contextmanager
def log_synchronously(handler: LogfmtHandler) -> Iterator[None]:
    """Write the log records of this thread synchronously, for a command that works without an engine."""
    thread = threading.get_ident()
    handler.addFilter(lambda record: record.thread == thread)
    _ROOT.setLevel(logging.INFO)
    _ROOT.addHandler(handler)
    try:
        yield
    finally:
        _ROOT.removeHandler(handler)


def _service_of(record: logging.LogRecord) -> str:
    """Return the service of a logger ``keiji.<service>``; "engine" for the logger ``keiji`` itself."""
    _, service, *_ = *record.name.split("."), "engine"
    return service


def _print_error(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # the terminal that started the engine may be gone
        sys.stderr.write(text)

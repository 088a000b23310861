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
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from keiji.paths import Paths
from keiji.settings import Settings
from keiji_engine.logs.line_format import format_line
from keiji_engine.logs.writer import LogWriter

_ROOT = logging.getLogger("keiji")
_ROOT.addHandler(logging.NullHandler())
_LEVELS = {"WARNING": "WARN", "CRITICAL": "ERROR"}  # level names in keiji's logs

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
    """

    def __init__(
        self,
        paths: Paths,
        settings: Callable[[], Settings],
        *,
        echo: bool = False,
        on_written: Callable[[Path, OSError | None], None] = lambda _log, _error: None,
    ) -> None:
        super().__init__()
        self._on_written = on_written
        self._paths = paths
        self._settings = settings
        self._echo = echo

    def emit(self, record: logging.LogRecord) -> None:
        task: str | None = getattr(record, "task", None)
        service = None if task is not None else _service_of(record)
        path = self._paths.service_log(service) if service is not None else self._paths.task_log(str(task))
        try:
            settings = self._settings()
            moment = datetime.fromtimestamp(record.created, settings.zone)
            level = _LEVELS.get(record.levelname, record.levelname)
            line = format_line(moment, level, self.format(record), service=service)
            if self._echo and service is not None:
                _print_error(f"{service}: {line.decode()}")
            with contextlib.closing(LogWriter(path, settings.log_limit, settings.time_zone)) as log:
                log.append(line)
            self._on_written(path, None)
        except OSError as error:
            self._on_written(path, error)
            _print_error(f"keiji-engine: {path} cannot be written: {error}\n")
        except Exception:  # noqa: BLE001 - for example a message that is not valid text; later lines must be written
            self.handleError(record)


class ServiceLogWriter:
    """Writes log records in a thread, so that neither the disk nor the lock of a log blocks the event loop."""

    def __init__(self, handler: LogfmtHandler) -> None:
        self._records: queue.SimpleQueue[logging.LogRecord | threading.Event | None] = queue.SimpleQueue()
        from logging.handlers import QueueHandler  # deferred: a command without an engine does not need it

        self._queue_handler = QueueHandler(self._records)
        self._handler = handler

    def start(self) -> None:
        """Start writing the records of the ``keiji`` loggers."""
        threading.Thread(target=self._write, name="service logs", daemon=True).start()
        _ROOT.setLevel(logging.INFO)
        _ROOT.propagate = False
        _ROOT.addHandler(self._queue_handler)

    def flush(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds until all records logged so far are written; return whether they are."""
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
        while (item := self._records.get()) is not None:
            if isinstance(item, threading.Event):
                item.set()
            else:
                self._handler.handle(item)


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

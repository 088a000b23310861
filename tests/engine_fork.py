"""Start engines as forks of a process that has already imported the engine, which takes a fifth of the time.

Each engine is a real process: it has its own pid, receives signals and can be killed. Only the start of the interpreter
and the imports are skipped; tests/e2e and one test of tests/integration/test_engine_services.py start engines in full.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import zoneinfo
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
_PRELOADED = ["keiji_engine.engine", "keiji_engine.main", "sqlalchemy.dialects.sqlite"]


@dataclass(frozen=True)
class Clock:
    """The wall clock plus an offset in a file, so that a test can set the clock of a running engine."""

    file: Path

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self._offset()

    def advance_to(self, moment: datetime) -> None:
        """Move the clock forward to ``moment``; do nothing if it is later already."""
        offset = moment - datetime.now(UTC)
        if offset > self._offset():
            self._set_offset(offset)

    def shift(self, step: timedelta) -> None:
        """Set the clock forward, or back if ``step`` is negative."""
        self._set_offset(self._offset() + step)

    def _set_offset(self, offset: timedelta) -> None:
        temporary = self.file.with_suffix(".tmp")
        temporary.write_text(str(offset.total_seconds()))
        temporary.replace(self.file)

    def _offset(self) -> timedelta:
        try:
            return timedelta(seconds=float(self.file.read_text()))
        except FileNotFoundError:
            return timedelta()


def start_server() -> None:
    """Start the process that engines are forked from; do nothing if it is running."""
    CONTEXT.set_forkserver_preload(_PRELOADED)
    forkserver.ensure_running()


def start_engine(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    output: Path,
    clock: Clock,
    prepare: Callable[[], None] | None = None,
    *,
    polls_often: bool,
) -> BaseProcess:
    """Start an engine and return its process.

    Args:
        arguments: the command line of ``keiji-engine``.
        output: the file that standard output and standard error are appended to.
        polls_often: whether it looks for problems, such as a deleted database, ten times as often as otherwise.
        prepare: a function of a module, called in the new process before the engine starts.
    """
    start_server()
    process = CONTEXT.Process(
        target=_run,
        args=(list(arguments), dict(environment), output, clock, prepare),
        kwargs={"polls_often": polls_often},
    )
    process.start()
    return process


def _run(
    arguments: list[str],
    environment: dict[str, str],
    output: Path,
    clock: Clock,
    prepare: Callable[[], None] | None,
    *,
    polls_often: bool,
) -> None:
    from keiji_engine.main import main

    os.environ.clear()
    os.environ.update(environment)
    _shorten_intervals(polls=polls_often)
    zoneinfo.reset_tzpath()  # PYTHONTZPATH is read when the module is imported, which the server has done
    redirect_output(output)
    if prepare is not None:
        prepare()
    sys.exit(main(arguments, clock=clock))


def _shorten_intervals(*, polls: bool) -> None:
    """Let this process try again sooner than an engine of a user does, so that no test waits for it.

    Args:
        polls: whether it also looks for problems more often, which makes an idle engine busy.
    """
    from keiji_engine import run_service, runtime_folder, services, state
    from keiji_engine.handlers import dispatch
    from keiji_engine.logs import health

    state.RELOAD_INTERVAL = 0.1
    state.SOUND_AFTER = 0.25
    run_service.RETRY_INTERVAL = run_service.MAX_RETRY_INTERVAL = 0.1
    run_service.FIRST_RECORD_TIMEOUT = 0.2
    dispatch.RETRY_INTERVAL = 0.1
    services.FIRST_BACKOFF = 0.1
    if polls:
        state.CHECK_INTERVAL = health.CHECK_INTERVAL = runtime_folder.CHECK_INTERVAL = 0.1
        run_service.FOLDER_INTERVAL = run_service.PROGRESS_INTERVAL = 0.1


def redirect_output(file: Path) -> None:
    """Append what this process and its children print to ``file``, and give them no input."""
    with Path(os.devnull).open("rb") as stdin, file.open("ab") as sink:
        os.dup2(stdin.fileno(), 0)
        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)

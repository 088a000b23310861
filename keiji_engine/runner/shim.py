"""The process that looks after one run: captures its output, keeps its time limit, records how it ended.

It needs nobody: engine and launcher may die at any instant. SIGTERM asks it to stop the run.
"""

from __future__ import annotations

import os
import re
import select
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfoNotFoundError

from keiji.reasons import Code, Reason, reason, render
from keiji.records import Progress, RunResult
from keiji.states import BAD, RunState
from keiji_engine.logs.line_format import Stream, line
from keiji_engine.logs.writer import LogWriter
from keiji_engine.runner import progress, run_file
from keiji_engine.runner.child import Child
from keiji_engine.runner.spec import RunSpec

CHUNK = 64 * 1024
PARTIAL_SECONDS = 0.5  # how long the beginning of a line may wait for its end before it is shown
LONGEST_REASON = 300
RECORD_SECONDS = 60  # how long to try to record the result where the disk is full
_MOST_LEFT = 16 * 1024 * 1024  # of output read after the end, where something could not be killed and goes on printing
_INVISIBLE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x1f\x7f-\x9f]")


def supervise(spec: RunSpec, folder: Path, began: Callable[[], None]) -> None:
    """Carry out a run from its beginning to its recorded end, in this process, which is the shim.

    Args:
        began: called as soon as the run's file exists.

    Raises:
        FileExistsError: the run has a shim already.
        OSError: the run's file cannot be written; the run did not begin.
    """
    bell = SelfPipe()
    started_at = datetime.now(UTC)
    file = run_file.create(folder, spec, started_at)
    began()
    shim = _Shim(spec, started_at, bell, progress.path_of(folder, spec.run_id))
    try:
        result = shim.run()
    except Exception as error:  # noqa: BLE001  # whatever happens here, the run must not be without a result
        result = shim.give_up(error)
    _record(file, result)


def _record(file: int, result: RunResult) -> None:
    limit = time.monotonic() + RECORD_SECONDS
    while True:
        try:
            return run_file.finish(file, result)
        except OSError:
            if time.monotonic() > limit:
                raise
            time.sleep(1)


class SelfPipe:
    """Wakes the loop when a child ends or a stop is asked for."""

    def __init__(self) -> None:
        self.is_stop_asked = False
        self.descriptor, write = os.pipe()
        for end in (self.descriptor, write):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._stop_asked)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def _stop_asked(self, _number: int, _frame: object) -> None:
        self.is_stop_asked = True

    def silence(self) -> None:
        try:
            os.read(self.descriptor, 4096)
        except BlockingIOError:
            return


class _Pipe:
    """One of the two pipes: bytes in, lines of the log out."""

    def __init__(self, level: str, run: str) -> None:
        self.descriptor, self.write = os.pipe()
        os.set_blocking(self.descriptor, False)
        self.stream = Stream(level, run)
        self.sifter = progress.ProgressFilter()
        self.is_open = True
        self.last = b""  # the end of what was printed
        self.flush_at: float | None = None


class _Shim:
    def __init__(self, spec: RunSpec, started_at: datetime, bell: SelfPipe, told: Path) -> None:
        self.spec = spec
        self.started_at = started_at
        self.bell = bell
        try:
            self.log = LogWriter(Path(spec.log_path), spec.log_limit, spec.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            self.log = LogWriter(Path(spec.log_path), spec.log_limit, "UTC")
        self.log_start: int | None = None
        self.log_end: int | None = None
        self.unlogged = 0  # bytes that could not be written
        self.child: Child | None = None
        self.ending: RunState | None = None  # TIMED_OUT or STOPPED once that was decided
        self.was_killed = False
        now = time.monotonic()
        self.began = now
        self.stop_at = None if spec.timeout is None else now + spec.timeout
        self.kill_at: float | None = None
        self.progress: Progress | None = None
        self.told = told  # where it says how far it has got
        self.tell_at: float | None = None  # when there is news of that to be written
        self.told_at = 0.0

    def run(self) -> RunResult:
        pipes = (_Pipe("INFO", self.spec.run_id), _Pipe("ERROR", self.spec.run_id))
        try:
            self.child = child = Child.start(self.spec, pipes[0].write, pipes[1].write)
        except (OSError, ValueError) as error:
            return self._ended(None, reason(Code.NOT_STARTED, detail=_words(error)))
        for pipe in pipes:
            os.close(pipe.write)
        self._attend(child, pipes)
        code = child.reap()
        for pipe in pipes:
            self._drain(pipe)
        return self._ended(code, self._exit_reason(code, _last_line(pipes[1].last)))

    def give_up(self, error: Exception) -> RunResult:
        """Return the result of a run that could not be looked after to its end."""
        if self.child is not None:
            self.child.reap()
        return self._ended(None, reason(Code.SUPERVISOR_FAILED, detail=_bounded(f"{type(error).__name__}: {error}")))

    def _attend(self, child: Child, pipes: tuple[_Pipe, _Pipe]) -> None:
        """Move output to the log and keep the limits, until the main process has ended."""
        poll = select.poll()
        poll.register(self.bell.descriptor, select.POLLIN)
        by_descriptor = {pipe.descriptor: pipe for pipe in pipes}
        for descriptor in by_descriptor:
            poll.register(descriptor, select.POLLIN)
        while not child.has_ended():
            for descriptor, _ in poll.poll(self._patience(pipes)):
                if descriptor == self.bell.descriptor:
                    self.bell.silence()
                    continue
                pipe = by_descriptor[descriptor]
                self._read(pipe)
                if not pipe.is_open:
                    poll.unregister(descriptor)
            self._keep_limits(child)
            now = time.monotonic()
            if self.tell_at is not None and self.tell_at <= now:
                self.tell_at, self.told_at = None, now
                progress.write(self.told, self.progress)
            for pipe in pipes:
                if pipe.flush_at is not None and pipe.flush_at <= now:
                    pipe.flush_at = None
                    self._append(pipe.stream.flush(self._now(), ended=False))

    def _patience(self, pipes: tuple[_Pipe, _Pipe]) -> int | None:
        """Return for how many milliseconds nothing has to be done unless something happens."""
        moments = [self.stop_at, self.kill_at, self.tell_at, *(pipe.flush_at for pipe in pipes)]
        waiting = [moment for moment in moments if moment is not None]
        return max(0, int((min(waiting) - time.monotonic()) * 1000) + 1) if waiting else None

    def _keep_limits(self, child: Child) -> None:
        now = time.monotonic()
        if self.ending is None:
            if self.bell.is_stop_asked:
                self.ending = RunState.STOPPED
            elif self.stop_at is not None and self.stop_at <= now:
                self.ending = RunState.TIMED_OUT
            else:
                return
            self.stop_at, self.kill_at = None, now + self.spec.stop_grace
            child.terminate()
        if self.kill_at is not None and self.kill_at <= now:
            self.kill_at, self.was_killed = None, True
            child.kill()  # its descendants in other groups follow when it has ended

    def _read(self, pipe: _Pipe) -> int:
        """Move one chunk to the log; return how many bytes that was."""
        try:
            chunk = os.read(pipe.descriptor, CHUNK)
        except BlockingIOError:
            return 0
        count = len(chunk)
        if not chunk:
            pipe.is_open = False
            self._append(pipe.stream.feed(pipe.sifter.rest(), self._now()))
            self._append(pipe.stream.flush(self._now(), ended=True))
            return 0
        chunk = pipe.sifter.sift(chunk)
        if pipe.sifter.is_new:
            pipe.sifter.is_new, self.progress = False, pipe.sifter.latest
            self.tell_at = max(self.told_at + progress.INTERVAL, time.monotonic())
        pipe.last = (pipe.last + chunk)[-4096:]
        self._append(pipe.stream.feed(chunk, self._now()))
        if not pipe.stream.is_partial:
            pipe.flush_at = None
        elif pipe.flush_at is None:
            pipe.flush_at = time.monotonic() + PARTIAL_SECONDS
        return count

    def _drain(self, pipe: _Pipe) -> None:
        left = _MOST_LEFT
        while pipe.is_open and left > 0 and (count := self._read(pipe)):
            left -= count
        self._append(pipe.stream.flush(self._now(), ended=True))

    def _append(self, data: bytes) -> None:
        if not data:
            return
        try:
            if self.unlogged:
                text = f"{self.unlogged} bytes of log could not be written here"
                self._place(*self.log.say(datetime.now(UTC), "ERROR", text, self.spec.run_id))
                self.unlogged = 0
            self._place(*self.log.append(data))
        except OSError:
            # A full disk must cost neither the run nor its result: the program goes on, its output is counted.
            self.unlogged += len(data)

    def _place(self, start: int, end: int) -> None:
        if self.log_start is None:
            self.log_start = start
        self.log_end = end

    def _now(self) -> datetime:
        return datetime.now(self.log.zone)

    def _ended(self, code: int | None, why: Reason | None) -> RunResult:
        """Say in the log how it ended, and return the result."""
        progress.write(self.told, None)
        finished_at = datetime.now(UTC)
        state = RunState.FAILED
        if code is not None:
            state = self.ending or (RunState.SUCCEEDED if code == 0 else RunState.FAILED)
        if self.unlogged:
            incomplete = reason(Code.LOG_INCOMPLETE)
            why = why.because(incomplete) if why is not None else incomplete
        took = f"{time.monotonic() - self.began:.3f} s"
        said = f"run {state.replace('_', ' ')} after {took}" + (f": {render(why, self.log.zone)}" if why else "")
        self._append(line(self._now(), "ERROR" if state in BAD else "INFO", said, self.spec.run_id))
        return RunResult(
            run_id=self.spec.run_id,
            state=state,
            finished_at=finished_at,
            started_at=self.started_at,
            reason=why,
            exit_code=code if code is not None and code >= 0 else None,
            signal=-code if code is not None and code < 0 else None,
            cpu_seconds=round(self.child.cpu_seconds, 6) if self.child else None,
            peak_memory_bytes=self.child.peak_memory_bytes if self.child else None,
            log_start=self.log_start,
            log_end=self.log_end,
        )

    def _exit_reason(self, code: int, detail: str) -> Reason | None:
        """Return why the run ended; None for a success.

        Args:
            code: the exit code, or -signal.
            detail: the last line that the program wrote to standard error.
        """
        killed_after = self.spec.stop_grace if self.was_killed else None
        if self.ending is RunState.TIMED_OUT:
            return reason(Code.TIMEOUT, timeout=self.spec.timeout, killed_after=killed_after)
        if self.ending is RunState.STOPPED:
            return reason(Code.STOPPED, killed_after=killed_after)
        if code == 0:
            return None
        if code > 0:
            return reason(Code.EXIT_CODE, exit_code=code, detail=_bounded(detail))
        return reason(Code.SIGNAL, signal=-code, detail=_bounded(detail))


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.strerror}: {error.filename}"
    return str(error)


def _last_line(printed: bytes) -> str:
    """Return the last line that says something, as plain text."""
    lines = printed.decode("utf-8", "replace").split("\n")
    return next((text for one in reversed(lines) if (text := _INVISIBLE.sub("", one).strip())), "")


def _bounded(text: str) -> str:
    return text if len(text) <= LONGEST_REASON else text[: LONGEST_REASON - 1] + "…"

"""The process that supervises one run: captures its output, enforces its time limit, and records its result.

It depends on no other process: the engine and the launcher may die at any time. SIGTERM requests a stop of the run;
SIGALRM ends the grace period of that stop.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfoNotFoundError

from keiji.formats import format_duration
from keiji.policy import Leave
from keiji.reasons import Code, Reason, describe_result, reason
from keiji.records import Progress, RunResult
from keiji.states import FAILURES, RunState
from keiji_engine.logs.line_format import StreamFormatter, format_line
from keiji_engine.logs.writer import LogWriter
from keiji_engine.runner import failure, progress
from keiji_engine.runner.child import Child
from keiji_engine.runner.process_tree import Process
from keiji_engine.runner.run_file import RunFile
from keiji_engine.runner.spec import RunSpec

CHUNK_BYTES = 64 * 1024
PARTIAL_LINE_DELAY = 0.5  # seconds before a line without a newline is logged
RECORD_TIMEOUT = 60  # seconds for which recording the result is retried if the disk is full
RUN_FILE_INTERVAL = 1.0  # seconds between two checks that the run file exists
_TAIL_BYTES = 4096
_END_OF_STACK_TRACE = re.compile(r"Node\.js v\d|\s+at \S|\s+\.\.\. \d+ more")
_MAX_REMAINING_BYTES = 16 * 1024 * 1024  # of output after the end; a surviving process may keep printing
_HELPER_TIMEOUT = 0.1  # seconds after the main process for processes that end with it, such as those of multiprocessing
_TREE_CHECK_INTERVAL = 0.1  # seconds; the end of a process that is no child of the shim sends no signal
_MAX_NAMED_PROCESSES = 10


def supervise(spec: RunSpec, runs: Path, on_started: Callable[[], None]) -> None:
    """Execute a run, from creating its run file to recording its result. The calling process becomes its shim.

    Args:
        runs: folder of the run files.
        on_started: called as soon as the run file exists.

    Raises:
        FileExistsError: the run already has a shim.
        OSError: the run file cannot be written; the run has not begun.
    """
    self_pipe = SelfPipe()
    started_at = datetime.now(UTC)
    file = RunFile.create(runs, spec, started_at)
    on_started()
    shim = _Shim(spec, started_at, self_pipe, progress.path_for(runs, spec.run_id), file)
    try:
        result = shim.run()
    except Exception as error:  # noqa: BLE001  # every run must have a result
        result = shim.abort(error)
    _record_result(file, result)


def _record_result(file: RunFile, result: RunResult) -> None:
    deadline = time.monotonic() + RECORD_TIMEOUT
    while True:
        try:
            return file.finish(result)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


class SelfPipe:
    """Makes the event loop's poll() return when a child exits (SIGCHLD) or a stop is requested (SIGTERM)."""

    def __init__(self) -> None:
        self.stop_requested = False
        self.kill_requested = False
        self.read_fd, write_fd = os.pipe()
        for end in (self.read_fd, write_fd):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._request_stop)
        signal.signal(signal.SIGALRM, self._request_kill)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def _request_stop(self, _number: int, _frame: object) -> None:
        self.stop_requested = True

    def _request_kill(self, _number: int, _frame: object) -> None:
        self.kill_requested = True

    def drain(self) -> None:
        """Discard the bytes that signals have written."""
        try:
            os.read(self.read_fd, 4096)
        except BlockingIOError:
            return


class _OutputPipe:
    """Reads the pipe of the run's standard output or standard error."""

    def __init__(self, level: str, run: str) -> None:
        self.read_fd, self.write_fd = os.pipe()
        os.set_blocking(self.read_fd, False)
        self.formatter = StreamFormatter(level, run)
        self.progress_filter = progress.ProgressFilter()
        self.is_open = True
        self.tail = b""  # the last bytes of the output
        self.flush_at: float | None = None


class _Shim:
    def __init__(
        self, spec: RunSpec, started_at: datetime, self_pipe: SelfPipe, progress_path: Path, file: RunFile
    ) -> None:
        self.spec = spec
        self.file = file
        self.started_at = started_at
        self.self_pipe = self_pipe
        try:
            self.log = LogWriter(Path(spec.log_path), spec.log_limit, spec.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            self.log = LogWriter(Path(spec.log_path), spec.log_limit, "UTC")
        self.log_start: int | None = None
        self.log_end: int | None = None
        self.unlogged_bytes = 0  # size of the log lines that could not be written
        self.child: Child | None = None
        self.end_state: RunState | None = None  # TIMED_OUT or STOPPED, as soon as the shim terminates the run
        self.terminated_at = 0.0
        self.killed_after: float | None = None  # seconds of grace after which the run was killed
        now = time.monotonic()
        self.monotonic_start = now
        self.time_out_at = None if spec.timeout is None else now + spec.timeout
        self.kill_at: float | None = None
        self.check_file_at = now + RUN_FILE_INTERVAL
        self.progress: Progress | None = None
        self.progress_path = progress_path
        self.write_progress_at: float | None = None  # None if the progress file is up to date
        self.progress_written_at = 0.0

    def run(self) -> RunResult:
        pipes = (_OutputPipe("INFO", self.spec.run_id), _OutputPipe("ERROR", self.spec.run_id))
        report_fd, report_write_fd = os.pipe() if self.spec.reports_failure else (None, None)
        spec = self.spec
        if report_write_fd is not None:
            spec = replace(spec, environment={**spec.environment, failure.VARIABLE: str(report_write_fd)})
        try:
            self.child = child = Child.start(spec, pipes[0].write_fd, pipes[1].write_fd, report_write_fd)
        except (OSError, ValueError) as error:
            return self._finish(None, reason(Code.NOT_STARTED, detail=_error_text(error)))
        for pipe in pipes:
            os.close(pipe.write_fd)
        if report_write_fd is not None:
            os.close(report_write_fd)
        self._poll_until(child.has_exited, child, pipes)
        if self.end_state is not None:
            self._poll_until(lambda: self.killed_after is not None or not _is_tree_alive(child), child, pipes)
        left_behind = self._wait_for_helpers(child)
        if self.end_state is not None or self.spec.leave != Leave.CHILDREN:
            child.kill()
        code = child.reap()
        for pipe in pipes:
            self._read_remaining(pipe)
        self._log_left_behind(left_behind)
        return self._finish(code, self._exit_reason(code, _read_report(report_fd), last_line(pipes[1].tail)))

    def abort(self, error: Exception) -> RunResult:
        """Kill the run after an internal error, and return its result."""
        if self.child is not None:
            self.child.kill()
            self.child.reap()
        detail = failure.truncate(f"{type(error).__name__}: {error}")
        return self._finish(None, reason(Code.SUPERVISOR_FAILED, detail=detail))

    def _poll_until(self, is_done: Callable[[], bool], child: Child, pipes: tuple[_OutputPipe, _OutputPipe]) -> None:
        """Copy output to the log and enforce the time limit until ``is_done`` returns true."""
        poll = select.poll()
        poll.register(self.self_pipe.read_fd, select.POLLIN)
        by_descriptor = {pipe.read_fd: pipe for pipe in pipes}
        for descriptor, pipe in by_descriptor.items():
            if pipe.is_open:
                poll.register(descriptor, select.POLLIN)
        while not is_done():
            for descriptor, _ in poll.poll(self._poll_timeout(pipes)):
                if descriptor == self.self_pipe.read_fd:
                    self.self_pipe.drain()
                    continue
                pipe = by_descriptor[descriptor]
                self._read_chunk(pipe)
                if not pipe.is_open:
                    poll.unregister(descriptor)
            self._enforce_limits(child)
            now = time.monotonic()
            if self.check_file_at <= now:
                self.check_file_at = now + RUN_FILE_INTERVAL
                with contextlib.suppress(OSError):  # for example on a full disk: the next check tries again
                    self.file.restore()
            if self.write_progress_at is not None and self.write_progress_at <= now:
                self.write_progress_at, self.progress_written_at = None, now
                progress.write(self.progress_path, self.progress)
            for pipe in pipes:
                if pipe.flush_at is not None and pipe.flush_at <= now:
                    pipe.flush_at = None
                    self._append(pipe.formatter.flush(self._local_time(), at_end=False))

    def _poll_timeout(self, pipes: tuple[_OutputPipe, _OutputPipe]) -> int:
        """Return the milliseconds until the next timer fires."""
        timers = [self.time_out_at, self.kill_at, self.write_progress_at, *(pipe.flush_at for pipe in pipes)]
        timers.append(self.check_file_at)
        if self.end_state is not None and self.killed_after is None:
            timers.append(time.monotonic() + _TREE_CHECK_INTERVAL)
        next_at = min(at for at in timers if at is not None)
        return max(0, int((next_at - time.monotonic()) * 1000) + 1)

    def _enforce_limits(self, child: Child) -> None:
        """Terminate the processes of the run on timeout or request, and kill those that outlive the grace period."""
        now = time.monotonic()
        if self.end_state is None:
            if self.self_pipe.stop_requested:
                self.end_state = RunState.STOPPED
            elif self.time_out_at is not None and self.time_out_at <= now:
                self.end_state = RunState.TIMED_OUT
            else:
                return
            self.time_out_at, self.kill_at = None, now + self.spec.stop_grace
            self.terminated_at = now
            child.terminate()
        if self.kill_at is not None and (self.kill_at <= now or self.self_pipe.kill_requested):
            is_early = self.kill_at > now
            self.kill_at = None
            self.killed_after = round(now - self.terminated_at, 1) if is_early else self.spec.stop_grace
            child.kill()

    def _wait_for_helpers(self, child: Child) -> list[Process]:
        """Return the processes that outlive the main process, once those that end with it have ended."""
        deadline = time.monotonic() + _HELPER_TIMEOUT
        while (processes := child.descendants()) and time.monotonic() < deadline:
            time.sleep(0.005)
        return processes

    def _log_left_behind(self, processes: list[Process]) -> None:
        """Name the processes that outlived the main process of a run that was not stopped."""
        if not processes or self.end_state is not None:
            return
        count = len(processes)
        names = [f"{process.name} (pid {process.pid})" for process in processes[:_MAX_NAMED_PROCESSES]]
        if count > _MAX_NAMED_PROCESSES:
            names.append("…")
        if self.spec.leave == Leave.CHILDREN:
            level, outcome = "INFO", "continue" if count > 1 else "continues"
        else:
            level, outcome = "WARN", "were ended" if count > 1 else "was ended"
        noun = "processes" if count > 1 else "process"
        message = f"{count} {noun} that it left behind {outcome}: {', '.join(names)}"
        self._append(format_line(self._local_time(), level, message, self.spec.run_id))

    def _read_chunk(self, pipe: _OutputPipe) -> int:
        """Copy one chunk from the pipe to the log; return its size in bytes, 0 if there is none."""
        try:
            chunk = os.read(pipe.read_fd, CHUNK_BYTES)
        except BlockingIOError:
            return 0
        count = len(chunk)
        if not chunk:
            pipe.is_open = False
            self._append(pipe.formatter.feed(pipe.progress_filter.flush(), self._local_time()))
            self._append(pipe.formatter.flush(self._local_time(), at_end=True))
            return 0
        chunk = pipe.progress_filter.filter(chunk)
        if pipe.progress_filter.has_update:
            pipe.progress_filter.has_update, self.progress = False, pipe.progress_filter.latest
            self.write_progress_at = max(self.progress_written_at + progress.WRITE_INTERVAL, time.monotonic())
        pipe.tail = (pipe.tail + chunk)[-_TAIL_BYTES:]
        self._append(pipe.formatter.feed(chunk, self._local_time()))
        if not pipe.formatter.has_partial_line:
            pipe.flush_at = None
        elif pipe.flush_at is None:
            pipe.flush_at = time.monotonic() + PARTIAL_LINE_DELAY
        return count

    def _read_remaining(self, pipe: _OutputPipe) -> None:
        """Copy the output that is left in the pipe after the end of the run."""
        limit = _MAX_REMAINING_BYTES
        while pipe.is_open and limit > 0 and (count := self._read_chunk(pipe)):
            limit -= count
        self._append(pipe.formatter.flush(self._local_time(), at_end=True))

    def _append(self, data: bytes) -> None:
        if not data:
            return
        try:
            if self.unlogged_bytes:
                text = f"{self.unlogged_bytes} bytes of log could not be written here"
                self._extend_log_range(*self.log.write_line(datetime.now(UTC), "ERROR", text, self.spec.run_id))
                self.unlogged_bytes = 0
            self._extend_log_range(*self.log.append(data))
        except OSError:
            # A full disk must not affect the run or its result. Lost output is counted.
            self.unlogged_bytes += len(data)

    def _extend_log_range(self, start: int, end: int) -> None:
        if self.log_start is None:
            self.log_start = start
        self.log_end = end

    def _local_time(self) -> datetime:
        return datetime.now(self.log.zone)

    def _finish(self, code: int | None, cause: Reason | None) -> RunResult:
        """Log the outcome of the run and return its result."""
        progress.write(self.progress_path, None)
        finished_at = datetime.now(UTC)
        state = RunState.FAILED
        if code is not None:
            state = self.end_state or (RunState.SUCCEEDED if self._is_success(code) else RunState.FAILED)
        if self.unlogged_bytes:
            incomplete = reason(Code.LOG_INCOMPLETE)
            cause = cause.with_cause(incomplete) if cause is not None else incomplete
        duration = format_duration(time.monotonic() - self.monotonic_start)
        message = f"run {describe_result(state, cause, self.log.zone, duration=duration)}"
        level = "ERROR" if state in FAILURES else "INFO"
        self._append(format_line(self._local_time(), level, message, self.spec.run_id))
        return RunResult(
            run_id=self.spec.run_id,
            state=state,
            finished_at=finished_at,
            started_at=self.started_at,
            reason=cause,
            exit_code=code if code is not None and code >= 0 else None,
            signal=-code if code is not None and code < 0 else None,
            cpu_seconds=round(self.child.cpu_seconds, 6) if self.child else None,
            peak_memory_bytes=self.child.peak_memory_bytes if self.child else None,
            log_start=self.log_start,
            log_end=self.log_end,
        )

    def _is_success(self, code: int) -> bool:
        return code in self.spec.ok_exit_codes

    def _exit_reason(self, code: int, report: bytes, last_line: str) -> Reason | None:
        """Return why the run ended; None for a success.

        Args:
            code: the exit code, or -signal.
            report: what the program has reported itself (see `failure`).
            last_line: the last line that the program wrote to standard error, for a program that has reported nothing.
        """
        if self.end_state is RunState.TIMED_OUT:
            return reason(Code.TIMEOUT, timeout=self.spec.timeout, killed_after=self.killed_after)
        if self.end_state is RunState.STOPPED:
            return reason(Code.STOPPED, killed_after=self.killed_after)
        if self._is_success(code):
            return None
        detail = failure.truncate(last_line)
        if code >= 0:
            return failure.parse_report(report, code) or reason(Code.EXIT_CODE, exit_code=code, detail=detail)
        return reason(Code.SIGNAL, signal=-code, detail=detail)


def _error_text(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.strerror}: {error.filename}"
    return str(error)


def _is_tree_alive(child: Child) -> bool:
    return bool(child.descendants()) or (sys.platform != "linux" and child.is_group_alive())


def _read_report(descriptor: int | None) -> bytes:
    if descriptor is None:
        return b""
    os.set_blocking(descriptor, False)  # a process that was left behind may still have the other end
    try:
        return os.read(descriptor, failure.MAX_REPORT_BYTES)
    except BlockingIOError:
        return b""


def last_line(output: bytes) -> str:
    """Return the last line with a letter or a digit, without escape sequences; or else the last with any text.

    Many programs end a message with a line of punctuation, such as a marker below the place of an error. Node.js and
    Java print a stack trace after the message: the indented lines below it, and the version of Node.js.
    """
    lines = [line for line in output.decode("utf-8", "replace").split("\n") if failure.strip_controls(line)]
    meaningful = [line for line in lines if any(map(str.isalnum, failure.strip_controls(line)))]
    if meaningful and _END_OF_STACK_TRACE.match(meaningful[-1]):
        messages = [line for line in meaningful[:-1] if not line[0].isspace()]
        meaningful = messages or meaningful
    return failure.strip_controls((meaningful or lines or [""])[-1])

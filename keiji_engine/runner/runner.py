"""The engine's side of runs: starts them through the launcher, detects their ends, and adopts those of earlier engines.

Messages and pidfds report events promptly; the run files are authoritative.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from keiji import file_lock, machine
from keiji.errors import KeijiError, ServiceOffline
from keiji.reasons import Code, reason
from keiji.records import RunOrigin, RunResult
from keiji.states import RunState
from keiji_engine.runner import adopt, process_tree, progress, run_file, run_folder
from keiji_engine.runner.adopt import LiveRun
from keiji_engine.runner.launcher_process import LauncherProcess
from keiji_engine.runner.spec import RunSpec

LOCK_TIMEOUT = 10.0  # seconds for an earlier launcher to finish what it has received
_POLL_INTERVAL = 0.25  # seconds between two checks of the locks of runs without a pidfd
_MESSAGE_TIMEOUT = 1.0  # seconds without a message until the run files of pending runs are checked
_RESTART_DELAY = 1.0
_RETRY_DELAY = 1.0
_KILL_TIMEOUT = 5.0  # seconds for the processes of a lost run to end
RESTORE_TIMEOUT = 3.0  # seconds for a live shim to create its run file again; it checks each second
_BEGIN_TIMEOUT = 15.0  # seconds for a run to begin whose run file may have been deleted

_log = logging.getLogger("keiji.runner")


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run has a process. ``adopted`` means that an earlier engine started it."""

    run_id: str
    started_at: datetime
    adopted: bool = False


class Runner:
    """Starts, watches and stops runs.

    Args:
        runs: folder of the run files.
        on_event: called on the event loop, in order, for each run that has started or ended.
        lock: the file that the launcher locks; by default in the parent folder of ``runs``.
        restore_timeout: seconds after which a run is lost whose run file is missing.
        open_pidfd: opens a pidfd, or returns None if the system does not support it.
    """

    def __init__(
        self,
        runs: Path,
        on_event: Callable[[RunStarted | RunResult], None],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        open_pidfd: Callable[[int], int | None] = adopt.open_pidfd,
        lock: Path | None = None,
        restore_timeout: float = RESTORE_TIMEOUT,
    ) -> None:
        self._runs = runs
        self._lock = lock or runs.parent / "launcher.lock"
        self._on_event = on_event
        self._clock = clock
        self._open_pidfd = open_pidfd
        self._pending: dict[str, RunSpec] = {}  # sent, or to be sent, to the launcher, and not known to have begun
        self._watched: dict[str, LiveRun] = {}
        self._ending: dict[str, asyncio.Task[None]] = {}  # runs without a shim, until reported
        # Runs that may have begun but have no run file, and when (on the loop's clock) they are lost without one.
        self._missing: dict[str, float] = {}
        self._restore_timeout = restore_timeout
        self.folder_id = ""  # of the folder of run files
        self._stop_requests: set[str] = set()  # pending runs to stop as soon as they have begun
        self._launcher: LauncherProcess | None = None
        self._launcher_task: asyncio.Task[None] | None = None
        self._poll_timer: asyncio.TimerHandle | None = None
        self._poll_task: asyncio.Task[None] | None = None

    @property
    def live(self) -> frozenset[str]:
        """The ids of the runs that have a process or are about to get one."""
        return frozenset().union(self._pending, self._watched, self._ending, self._missing)

    @property
    def origin(self) -> RunOrigin:
        """What a claim records, so that a later engine knows what an absent run file means."""
        return RunOrigin(self.folder_id, machine.boot_id())

    async def start(
        self, open_runs: Collection[str], origins: Mapping[str, RunOrigin] | None = None, starting: Collection[str] = ()
    ) -> list[str]:
        """Report the state of all earlier runs, including ``open_runs``, then start the launcher.

        A run without a run file is lost, unless its shim creates the file again in time, or the run has never begun.

        Args:
            open_runs: ids of runs that have not ended according to the database.
            origins: where these were claimed, as far as it is known.
            starting: those among them that are not known to have begun.

        Returns:
            The ids of the runs that never began. They can be launched.

        Raises:
            KeijiError: an earlier launcher does not end, or the new one does not start.
        """
        self.folder_id = await asyncio.to_thread(run_folder.ensure_id, self._runs)
        never_began: list[str] = []
        lock = await self._acquire_launcher_lock()
        try:
            run_ids_with_file = await asyncio.to_thread(run_folder.run_ids, self._runs)
            unreadable = []
            for run_id in run_ids_with_file:
                try:
                    await self._check_run_file(run_id, found=True)
                except OSError as error:
                    _log.error("the file of run %s cannot be read; trying again: %s", run_id, error)
                    unreadable.append(run_id)
            rebooted = []
            for run_id in sorted(set(open_runs).difference(run_ids_with_file)):
                origin = (origins or {}).get(run_id)
                if origin is not None and machine.has_rebooted_since(origin.boot):
                    rebooted.append(adopt.lost_result(run_id, self._clock(), reason(Code.MACHINE_REBOOTED)))
                elif run_id in starting and origin == self.origin and origin.boot:
                    never_began.append(run_id)  # the lock is free, and the folder has been there all the time
                else:
                    self._expect_run_file(run_id, self._restore_timeout)
            self._close_lost(rebooted)
            if self._ending:
                await asyncio.wait(self._ending.values())
            for run_id in unreadable:
                self._read_result(run_id)
            self._launcher = await LauncherProcess.start(self._runs, lock)
        except BaseException:
            await self.stop()
            raise
        finally:
            os.close(lock)
        self._launcher_task = asyncio.create_task(self._serve_launcher(self._launcher), name="runner")
        self._launcher_task.add_done_callback(self._on_launcher_task_done)
        self._schedule_poll()
        return never_began

    async def check_folder(self) -> bool:
        """Create the folder of run files again if it was deleted; return whether it was.

        Raises:
            OSError: it cannot be created.
        """
        found = await asyncio.to_thread(run_folder.ensure_id, self._runs)
        if found == self.folder_id:
            return False
        self.folder_id = found
        _log.warning("the folder of run files was deleted: %s is new", self._runs)
        for run_id in self._pending:
            self._expect_run_file(run_id, _BEGIN_TIMEOUT)
        self._schedule_poll()
        return True

    async def stop(self) -> None:
        """Stop the launcher once it has begun all runs that it was sent. Runs continue, without further events."""
        launcher, self._launcher = self._launcher, None
        task, self._launcher_task = self._launcher_task, None  # first, so that `launch` refuses further runs
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        if launcher is not None:
            await launcher.close()
        self._cancel_poll()
        for run_id in list(self._watched):
            self._unwatch(run_id)
        for ending in self._ending.values():  # the next start reports these runs
            ending.cancel()
        self._ending.clear()
        self._pending.clear()
        self._missing.clear()
        self._stop_requests.clear()

    async def wait(self) -> None:
        """Wait until the task that serves the launcher fails, and raise its error."""
        if self._launcher_task is not None:
            await asyncio.shield(self._launcher_task)

    async def launch(self, specs: Sequence[RunSpec]) -> None:
        """Start the runs that are not live yet.

        If the launcher dies, its replacement starts the runs that have not begun.

        Raises:
            ServiceOffline: the runner is stopped.
        """
        if self._launcher_task is None:
            raise ServiceOffline.required("runner")
        live = self.live
        new = {spec.run_id: spec for spec in specs if spec.run_id not in live}
        self._pending |= new
        if self._launcher is not None:
            await self._send(self._launcher, list(new.values()))
        self._schedule_poll()

    def own_children(self) -> set[int]:
        """Return the pids of the child processes whose exit status the runner reads."""
        return {self._launcher.pid} if self._launcher is not None else set()

    def kill_run(self, run_id: str) -> bool:
        """End the grace period of a run that was asked to stop; return False if it is not live."""
        return self._signal(run_id, signal.SIGALRM)

    def stop_run(self, run_id: str) -> bool:
        """Request that the run stops; return False if it is not live."""
        if run_id in self._pending:
            self._stop_requests.add(run_id)
            return True
        return self._signal(run_id, signal.SIGTERM)

    def _signal(self, run_id: str, number: signal.Signals) -> bool:
        live_run = self._watched.get(run_id)
        if live_run is None:
            return False
        try:
            if live_run.pidfd is not None:
                signal.pidfd_send_signal(live_run.pidfd, number)
            elif run_file.has_live_shim(self._runs / run_id):  # without pidfds only, where there is no better way
                os.kill(live_run.shim, number)
            else:
                return False
        except (ProcessLookupError, FileNotFoundError):
            return False
        return True

    def remove_run_files(self, run_id: str) -> None:
        """Remove the run file and the progress file of a run whose result is recorded. Errors are logged.

        A run file that remains is reported again by the next start.
        """
        try:
            (self._runs / run_id).unlink(missing_ok=True)
        except OSError as error:
            _log.error("the file of run %s cannot be removed: %s", run_id, error)
        progress.write(progress.path_for(self._runs, run_id), None)

    async def _serve_launcher(self, launcher: LauncherProcess) -> None:
        """Handle messages, and replace the launcher whenever it dies."""
        while True:
            async for message in launcher.messages():
                try:
                    await self._handle_message(message)
                except OSError as error:
                    _log.error("a run file cannot be read; trying again: %s", error)
                    self._schedule_poll()
            self._launcher = None
            _log.warning("the launcher (pid %d) died; starting another one", launcher.pid)
            await launcher.close()
            self._launcher = launcher = await self._replace_launcher()
            unsent = [spec for run_id, spec in self._pending.items() if run_id not in self._missing]
            await self._send(launcher, unsent)

    async def _replace_launcher(self) -> LauncherProcess:
        while True:
            try:
                return await self._restart_launcher()
            except (KeijiError, OSError) as error:
                _log.error("the launcher could not be restarted; trying again: %s", error)
                await asyncio.sleep(_RESTART_DELAY)

    async def _restart_launcher(self) -> LauncherProcess:
        lock = await self._acquire_launcher_lock()
        try:
            # The lock is held, so no shim is starting: a run without a file has not begun and can be sent again.
            for run_id in list(self._pending):
                await self._check_run_file(run_id)
            return await LauncherProcess.start(self._runs, lock)
        finally:
            os.close(lock)

    def _on_launcher_task_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("the runner failed and no longer starts runs: %s: %s", type(error).__name__, error)

    async def _send(self, launcher: LauncherProcess, specs: Sequence[RunSpec]) -> None:
        if specs:
            # Not asdict(), which would deep-copy each environment.
            await launcher.send({"launch": [{name: getattr(spec, name) for name in spec.__slots__} for spec in specs]})

    async def _handle_message(self, message: dict[str, str]) -> None:
        if run_id := message.get("began"):
            if not await self._check_run_file(run_id):
                self._expect_run_file(run_id, self._restore_timeout)
                self._schedule_poll()
        elif run_id := message.get("failed"):
            if self._pending.pop(run_id, None):
                self._missing.pop(run_id, None)
                self._stop_requests.discard(run_id)
                self._on_event(
                    RunResult(
                        run_id=run_id,
                        state=RunState.FAILED,
                        finished_at=self._clock(),
                        reason=reason(Code.NOT_STARTED, detail=message.get("reason", "")),
                    )
                )
        elif run_id := message.get("gone"):
            has_file = await self._check_run_file(run_id)
            spec = None if has_file else self._pending.pop(run_id, None)
            if spec is not None:
                self._missing.pop(run_id, None)
                self._stop_requests.discard(run_id)
                self._close_lost([adopt.lost_result(run_id, self._clock(), reason(Code.SHIM_KILLED))])

    async def _check_run_file(self, run_id: str, *, found: bool = False) -> bool:
        """Report and watch a run if its file shows that it has begun; return False if it has no file."""
        if self._is_reported(run_id, found):
            return True
        state = await self._inspect(run_id)
        if self._is_reported(run_id, found):  # by another check in the meantime
            _close_pidfd(state)
            return True
        if state is None:
            return False
        adopted = run_id not in self._pending
        self._pending.pop(run_id, None)
        self._missing.pop(run_id, None)
        stop_requested = run_id in self._stop_requests
        self._stop_requests.discard(run_id)
        if isinstance(state, RunResult):
            if state.state is RunState.LOST:
                self._close_lost([state])
            else:
                self._on_event(state)
            return True
        self._watch(run_id, state)
        self._on_event(RunStarted(run_id, state.started_at, adopted))
        if stop_requested:
            self.stop_run(run_id)
        return True

    def _is_reported(self, run_id: str, found: bool) -> bool:
        is_expected = found or run_id in self._pending or run_id in self._missing
        return run_id in self._watched or not is_expected

    async def _inspect(self, run_id: str) -> LiveRun | RunResult | None:
        """Inspect a run file in a thread, since the disk may hang."""
        call = partial(adopt.inspect, self._runs / run_id, self._clock(), self._open_pidfd)
        inspecting = asyncio.get_running_loop().run_in_executor(None, call)
        try:
            return await asyncio.shield(inspecting)
        except asyncio.CancelledError:
            inspecting.add_done_callback(_discard)
            raise

    def _watch(self, run_id: str, live_run: LiveRun) -> None:
        self._watched[run_id] = live_run
        if live_run.pidfd is not None:
            asyncio.get_running_loop().add_reader(live_run.pidfd, self._on_shim_exit, run_id)
            return
        self._cancel_poll()  # runs without a pidfd may need an earlier one than scheduled
        self._schedule_poll()

    def _unwatch(self, run_id: str) -> None:
        live_run = self._watched.pop(run_id)
        if live_run.pidfd is not None:
            asyncio.get_running_loop().remove_reader(live_run.pidfd)
            os.close(live_run.pidfd)

    def _on_shim_exit(self, run_id: str) -> None:
        self._unwatch(run_id)
        self._read_result(run_id)

    def _read_result(self, run_id: str) -> None:
        self._ending[run_id] = asyncio.create_task(self._report_end(run_id), name=f"end of run {run_id}")

    async def _report_end(self, run_id: str) -> None:
        while True:
            try:
                state = await self._inspect(run_id)
            except OSError as error:
                _log.error("the result of run %s cannot be read; trying again: %s", run_id, error)
                await asyncio.sleep(_RETRY_DELAY)
            else:
                break
        if isinstance(state, LiveRun):  # the pidfd was not the shim's; the lock check in `inspect` rules that out
            self._ending.pop(run_id, None)
            self._watch(run_id, state)
            return
        result = state or adopt.lost_result(run_id, self._clock(), reason(Code.RUN_FILE_REMOVED))
        if result.state is RunState.LOST:
            await _kill_survivors([run_id])
        self._ending.pop(run_id, None)
        self._on_event(result)

    def _close_lost(self, results: Sequence[RunResult]) -> None:
        """Report that runs are lost as soon as none of their processes is left."""
        if results:
            closing = asyncio.create_task(self._report_lost(results), name="close lost runs")
            self._ending.update((result.run_id, closing) for result in results)

    async def _report_lost(self, results: Sequence[RunResult]) -> None:
        await _kill_survivors([result.run_id for result in results])
        for result in results:
            self._ending.pop(result.run_id, None)
            self._on_event(result)

    def _schedule_poll(self) -> None:
        """Schedule a check of the run files if some runs may start or end without a notification."""
        if self._poll_timer is not None or self._poll_task is not None:
            return
        if any(live_run.pidfd is None for live_run in self._watched.values()) or self._missing:
            self._poll_timer = asyncio.get_running_loop().call_later(_POLL_INTERVAL, self._poll_run_files)
        elif self._pending:
            self._poll_timer = asyncio.get_running_loop().call_later(_MESSAGE_TIMEOUT, self._poll_run_files)

    def _cancel_poll(self) -> None:
        if self._poll_timer is not None:
            self._poll_timer.cancel()
            self._poll_timer = None
        if self._poll_task is not None:
            self._poll_task.cancel()
            self._poll_task = None

    def _poll_run_files(self) -> None:
        self._poll_timer = None
        self._poll_task = asyncio.create_task(self._check_run_files(), name="check run files")

    async def _check_run_files(self) -> None:
        for run_id in [*self._pending, *self._missing]:
            try:
                await self._check_run_file(run_id)
            except OSError as error:
                _log.error("the file of run %s cannot be read; trying again: %s", run_id, error)
        without_pidfd = [run_id for run_id, live_run in self._watched.items() if live_run.pidfd is None]
        for run_id, is_live in (await asyncio.to_thread(_have_live_shims, self._runs, without_pidfd)).items():
            if run_id not in self._watched:
                continue
            if is_live is None:
                self._expect_run_file(run_id, self._restore_timeout)
                continue
            self._missing.pop(run_id, None)
            if not is_live:
                self._on_shim_exit(run_id)
        now = asyncio.get_running_loop().time()
        for run_id in [run_id for run_id, deadline in self._missing.items() if deadline <= now]:
            self._give_up(run_id)
        self._poll_task = None
        self._schedule_poll()

    def _expect_run_file(self, run_id: str, timeout: float) -> None:
        """Give the shim of a run time to create its run file again."""
        self._missing.setdefault(run_id, asyncio.get_running_loop().time() + timeout)

    def _give_up(self, run_id: str) -> None:
        """Report a run as lost that has no run file."""
        del self._missing[run_id]
        is_known = self._pending.pop(run_id, None) is not None
        self._stop_requests.discard(run_id)
        if run_id in self._watched:
            self._unwatch(run_id)
            is_known = True
        why = reason(Code.RUN_FILE_REMOVED) if is_known else reason(Code.NO_TRACE)
        self._close_lost([adopt.lost_result(run_id, self._clock(), why)])

    async def _acquire_launcher_lock(self) -> int:
        """Return a descriptor that holds the launcher's lock. All runs sent to earlier launchers then have a run file.

        Raises:
            KeijiError: another process holds it for longer than `LOCK_TIMEOUT`.
        """
        path = self._lock
        descriptor = await asyncio.to_thread(os.open, path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + LOCK_TIMEOUT
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(os.close, descriptor)
            while not file_lock.try_lock(descriptor):
                if loop.time() > deadline:
                    raise KeijiError(
                        f"an earlier launcher still holds {path} after {LOCK_TIMEOUT:g}s",
                        hint=f"find the process with `fuser {path}` and stop it",
                    )
                await asyncio.sleep(0.005)
            on_failure.pop_all()
        return descriptor


async def _kill_survivors(run_ids: Sequence[str]) -> None:
    """Kill all processes of runs without a shim, so that nothing of a run that is lost runs beside its successor."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _KILL_TIMEOUT
    killed: dict[int, str] = {}
    while True:
        try:
            survivors = await asyncio.to_thread(process_tree.kill_survivors, run_ids)
        except OSError as error:
            if loop.time() > deadline:
                _log.error("the processes of lost runs cannot be found: %s", error)
                return
        else:
            killed |= survivors
            if not survivors:
                break
            if loop.time() > deadline:
                for pid, run_id in survivors.items():
                    _log.error("process %d of the lost run %s cannot be killed", pid, run_id)
                break
        await asyncio.sleep(0.01)
    for pid, run_id in killed.items():
        _log.warning("killed process %d, which the lost run %s had left", pid, run_id)


def _have_live_shims(runs: Path, run_ids: Sequence[str]) -> dict[str, bool | None]:
    """Return for each run whether its shim is alive; None if its run file is missing."""
    return {run_id: _has_live_shim(runs / run_id) for run_id in run_ids}


def _has_live_shim(path: Path) -> bool | None:
    try:
        return run_file.has_live_shim(path)
    except FileNotFoundError:
        return None
    except OSError:  # for example no descriptors; it is checked again
        return True


def _discard(inspecting: asyncio.Future[LiveRun | RunResult | None]) -> None:
    if not inspecting.cancelled() and inspecting.exception() is None:
        _close_pidfd(inspecting.result())


def _close_pidfd(state: LiveRun | RunResult | None) -> None:
    if isinstance(state, LiveRun) and state.pidfd is not None:
        os.close(state.pidfd)

"""The engine's side of runs: starts them through the launcher, learns how they end, adopts those it finds.

What happens is learned from messages and pidfds as soon as it happens; what counts is in the run files.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from keiji.errors import KeijiError, ServiceOffline
from keiji.reasons import Code, reason
from keiji.records import RunResult
from keiji.states import RunState
from keiji_engine.runner import adopt, progress, run_file
from keiji_engine.runner.adopt import Alive
from keiji_engine.runner.connection import Launcher
from keiji_engine.runner.spec import RunSpec

LOCK_LIMIT = 10.0  # seconds to wait for a former launcher to finish what it has received
_POLL = 0.25  # where there is no pidfd
_OVERDUE = 1.0  # after that long without a word, the run file is looked for
_RESTART_PAUSE = 1.0


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run has a process; ``adopted`` when it was started for an earlier engine."""

    run_id: str
    started_at: datetime
    adopted: bool = False


class Runner:
    """Starts, watches and stops runs.

    Args:
        runs: folder of the run files; the launcher's lock lies beside it.
        tell: takes what happened; called from the event loop only.
        note: takes a line for the service's log.
    """

    def __init__(
        self,
        runs: Path,
        tell: Callable[[RunStarted | RunResult], None],
        note: Callable[[str], None],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._runs = runs
        self._tell = tell
        self._note = note
        self._clock = clock
        self._sent: dict[str, RunSpec] = {}  # sent, or to be sent, and not heard of since
        self._alive: dict[str, Alive] = {}
        self._stops: set[str] = set()  # to be stopped as soon as they have begun
        self._launcher: Launcher | None = None
        self._serving: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def live(self) -> frozenset[str]:
        """The runs that have a process or are about to get one."""
        return frozenset(self._sent) | frozenset(self._alive)

    async def start(self, open_runs: Collection[str]) -> None:
        """Find out about all earlier runs, among them ``open_runs``, then start the launcher.

        Raises:
            KeijiError: a former launcher does not end, or a new one does not start.
        """
        self._runs.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = await self._take_lock()
        try:
            found = run_file.run_ids(self._runs)
            for run_id in found:
                self._look(run_id, adopted=True)
            for run_id in sorted(set(open_runs).difference(found)):
                self._tell(adopt.lost(run_id, self._clock()))
            self._launcher = await Launcher.start(self._runs, lock)
        except BaseException:
            await self.stop()
            raise
        finally:
            os.close(lock)
        self._serving = asyncio.create_task(self._serve(self._launcher), name="runner")
        self._serving.add_done_callback(self._served)

    async def stop(self) -> None:
        """End the launcher, once it has begun what it was sent. Runs go on; nothing is told of them any more."""
        launcher, self._launcher = self._launcher, None
        serving, self._serving = self._serving, None  # first of all: nothing more is launched
        if serving is not None:
            serving.cancel()
            await asyncio.wait([serving])
        if launcher is not None:
            await launcher.close()
        self._disarm()
        for run_id in list(self._alive):
            self._unwatch(run_id)
        self._sent.clear()
        self._stops.clear()

    async def wait(self) -> None:
        """Wait for ever; raises what went wrong once nothing can be heard of new runs any more."""
        if self._serving is not None:
            await asyncio.shield(self._serving)

    async def launch(self, specs: Sequence[RunSpec]) -> None:
        """Have the runs started that are not live yet.

        Should the launcher die meanwhile, the next one starts those that had not begun.

        Raises:
            ServiceOffline: the runner is stopped.
        """
        if self._serving is None:
            raise ServiceOffline("the runner is stopped")
        live = self.live
        new = {spec.run_id: spec for spec in specs if spec.run_id not in live}
        self._sent |= new
        if self._launcher is not None:
            await self._send(self._launcher, list(new.values()))
        self._arm()

    def stop_run(self, run_id: str) -> bool:
        """Ask the run to stop; False when it is not live."""
        if run_id in self._sent:
            self._stops.add(run_id)
            return True
        alive = self._alive.get(run_id)
        if alive is None:
            return False
        try:
            if alive.pidfd is not None:
                signal.pidfd_send_signal(alive.pidfd, signal.SIGTERM)
            elif run_file.is_held(self._runs / run_id):
                os.kill(alive.shim, signal.SIGTERM)
            else:
                return False
        except (ProcessLookupError, FileNotFoundError):
            return False
        return True

    def forget(self, run_id: str) -> None:
        """Remove the run's file: its result is recorded."""
        (self._runs / run_id).unlink(missing_ok=True)
        progress.write(progress.path_of(self._runs, run_id), None)

    async def _serve(self, launcher: Launcher) -> None:
        """Hear what launchers say; replace the one that dies."""
        while True:
            async for message in launcher.messages():
                self._hear(message)
            self._launcher = None
            self._note(f"the launcher (process {launcher.pid}) died; another takes its place")
            await launcher.close()
            self._launcher = launcher = await self._replace()
            await self._send(launcher, list(self._sent.values()))

    async def _replace(self) -> Launcher:
        while True:
            try:
                return await self._start_again()
            except (KeijiError, OSError) as error:
                self._note(f"there is no launcher; trying again: {error}")
                await asyncio.sleep(_RESTART_PAUSE)

    async def _start_again(self) -> Launcher:
        lock = await self._take_lock()
        try:
            # Nobody is on the way any more: a run without a file has not begun and can safely be sent again.
            for run_id in list(self._sent):
                self._look(run_id)
            return await Launcher.start(self._runs, lock)
        finally:
            os.close(lock)

    def _served(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._note(f"nothing is heard of new runs any more: {type(error).__name__}: {error}")

    async def _send(self, launcher: Launcher, specs: Sequence[RunSpec]) -> None:
        if specs:
            # Not asdict(), which would copy the environment of each, value by value.
            await launcher.send({"launch": [{name: getattr(spec, name) for name in spec.__slots__} for spec in specs]})

    def _hear(self, message: dict[str, str]) -> None:
        if run_id := message.get("began"):
            self._look(run_id)
        elif run_id := message.get("failed"):
            if self._sent.pop(run_id, None):
                self._stops.discard(run_id)
                self._tell(
                    RunResult(
                        run_id=run_id,
                        state=RunState.FAILED,
                        finished_at=self._clock(),
                        reason=reason(Code.NOT_STARTED, detail=message.get("reason", "")),
                    )
                )
        elif (run_id := message.get("gone")) and not self._look(run_id) and self._sent.pop(run_id, None):
            self._stops.discard(run_id)
            self._tell(adopt.lost(run_id, self._clock(), reason(Code.SHIM_KILLED)))

    def _look(self, run_id: str, *, adopted: bool = False) -> bool:
        """Tell what the file of a run says that is not being watched yet; False where there is none."""
        if run_id in self._alive:
            return True
        if not adopted and run_id not in self._sent:
            return True  # heard of it before
        found = adopt.inspect(self._runs / run_id, self._clock())
        if found is None:
            return False
        self._sent.pop(run_id, None)
        stop = run_id in self._stops
        self._stops.discard(run_id)
        if isinstance(found, RunResult):
            self._tell(found)
            return True
        self._watch(run_id, found)
        self._tell(RunStarted(run_id, found.started_at, adopted))
        if stop:
            self.stop_run(run_id)
        return True

    def _watch(self, run_id: str, alive: Alive) -> None:
        self._alive[run_id] = alive
        if alive.pidfd is not None:
            asyncio.get_running_loop().add_reader(alive.pidfd, self._ended, run_id)
            return
        self._disarm()  # the next look may be too far off
        self._arm()

    def _unwatch(self, run_id: str) -> Alive:
        alive = self._alive.pop(run_id)
        if alive.pidfd is not None:
            asyncio.get_running_loop().remove_reader(alive.pidfd)
            os.close(alive.pidfd)
        return alive

    def _ended(self, run_id: str) -> None:
        self._unwatch(run_id)
        found = adopt.inspect(self._runs / run_id, self._clock())
        if isinstance(found, Alive):  # only where a pidfd was not the shim's, which the lock rules out
            self._watch(run_id, found)
            return
        self._tell(found or adopt.lost(run_id, self._clock(), reason(Code.RUN_FILE_REMOVED)))

    def _arm(self) -> None:
        """Have a look at the files in a while, where there is anything that no message may tell of."""
        if self._timer is not None:
            return
        if any(alive.pidfd is None for alive in self._alive.values()):
            self._timer = asyncio.get_running_loop().call_later(_POLL, self._sweep)
        elif self._sent:
            self._timer = asyncio.get_running_loop().call_later(_OVERDUE, self._sweep)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep(self) -> None:
        self._timer = None
        for run_id in list(self._sent):
            self._look(run_id)
        for run_id in [run_id for run_id, alive in self._alive.items() if alive.pidfd is None]:
            path = self._runs / run_id
            if not path.exists() or not run_file.is_held(path):
                self._ended(run_id)
        self._arm()

    async def _take_lock(self) -> int:
        """Return a descriptor that holds the launcher's lock; every run that was sent before has its file then.

        Raises:
            KeijiError: somebody holds it for longer than `LOCK_LIMIT`.
        """
        path = self._runs.parent / "launcher.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        loop = asyncio.get_running_loop()
        limit = loop.time() + LOCK_LIMIT
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if loop.time() > limit:
                    os.close(descriptor)
                    raise KeijiError(
                        f"an earlier launcher still holds {path} after {LOCK_LIMIT:g} s",
                        hint=f"see who it is (fuser {path}) and end it",
                    ) from None
                await asyncio.sleep(0.005)
            except BaseException:
                os.close(descriptor)
                raise
            else:
                return descriptor

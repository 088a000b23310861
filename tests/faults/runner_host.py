"""A process with a runner, in place of the engine. It launches runs and waits to be killed."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import engine_fork
from runner_harness import RunnerHarness

from keiji_engine.runner.spec import RunSpec


class RunnerHost:
    """The process. It has a session of its own; ``launcher_pid`` is the process id of its launcher."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.process: ForkServerProcess | None = None
        self.launcher_pid = 0

    def launch(self, specs: Sequence[RunSpec]) -> None:
        """Return as soon as the specs are sent; none of the runs need have begun."""
        receiving, sending = engine_fork.CONTEXT.Pipe(duplex=False)
        with receiving:
            with sending:
                arguments = (self.root, tuple(specs), dict(os.environ), sending)
                self.process = engine_fork.CONTEXT.Process(target=_run, args=arguments)
                self.process.start()
            self.launcher_pid = receiving.recv()

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        assert self.process is not None
        assert self.process.pid is not None
        os.killpg(self.process.pid, number)
        self.process.join()

    def kill_launcher(self) -> None:
        os.kill(self.launcher_pid, signal.SIGKILL)

    def close(self) -> None:
        if self.process is not None and self.process.is_alive():
            self.kill()


def _run(root: Path, specs: Sequence[RunSpec], environment: Mapping[str, str], started: Connection) -> None:
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    engine_fork.redirect_output(Path(os.devnull))
    asyncio.run(_serve(root, specs, started))


async def _serve(root: Path, specs: Sequence[RunSpec], started: Connection) -> None:
    harness = RunnerHarness(root)
    await harness.runner.start(())
    await harness.runner.launch(specs)
    launcher = harness.runner._launcher
    started.send(launcher.pid if launcher else 0)
    await asyncio.Event().wait()

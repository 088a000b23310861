"""``keiji demo``: a temporary system with six example tasks, shown in the control center or as text."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import click

from keiji import engine_process, file_tree
from keiji.errors import KeijiError
from keiji.local_zone import find_local_zone
from keiji.names import slug_of
from keiji.paths import Paths
from keiji.settings import template
from keiji_cli import client, output, services
from keiji_cli.demo_tasks import TASKS, DemoTask
from keiji_cli.groups import Command

# Leave the alternate screen, show the cursor, turn off mouse, focus and paste reporting.
_RESET_TERMINAL = "\x1b[?1049l\x1b[?25h\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1004l\x1b[?2004l"
_TERMINATION_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


@click.command(cls=Command)
@click.option("--plain", is_flag=True, help="Show events as text even on a terminal.")
@click.option(
    "--seconds", default=15.0, show_default=True, type=click.FloatRange(1), help="Duration of the text output."
)
def demo(seconds: float, *, plain: bool) -> None:
    """Run a temporary system with six example tasks.

    Its engine, workspace and state are removed when the demo exits.
    """
    with _termination_as_interrupt(), temporary_workspace() as paths:
        output.print_progress(f"temporary workspace: {paths.workspace}")
        # Start the engine first: without one, each directive would open the database.
        output.print_progress(f"engine started with pid {engine_process.start(paths)}")
        create_tasks(paths)
        if plain or not (sys.stdin.isatty() and sys.stdout.isatty()):
            from keiji_cli.demo_plain import show_events

            show_events(paths, seconds)
        else:
            _run_control_center(paths)
        output.print_progress("stopping the engine and all runs, removing the workspace")


def create_tasks(paths: Paths) -> None:
    """Create and build the tasks of the demo, and print each one."""
    for task in TASKS:
        _create_task(paths, task)


def _create_task(paths: Paths, task: DemoTask) -> None:
    from keiji_engine.bus.protocol import BuildTask, Create, Disable

    client.execute(paths, Create(name=task.name, description=task.description))
    source = paths.source(slug_of(task.name))
    (source / "function.py").write_text(task.function_source, encoding="utf-8")
    (source / "schedule.py").write_text(task.schedule_source, encoding="utf-8")
    client.execute(paths, BuildTask(task=task.name))
    if task.is_disabled:
        client.execute(paths, Disable(task=task.name))
    output.print_progress(f"built {task.name}: {task.description}")


def _run_control_center(paths: Paths) -> None:
    command = [sys.executable, "-m", "keiji_tui", "--temporary"]
    with (
        _terminal_reset_on_error(),
        subprocess.Popen(command, env=os.environ | engine_process.environment_for(paths)) as process,
    ):
        try:
            code = process.wait()
        except BaseException:
            process.terminate()
            raise
        if code:
            raise KeijiError(
                f"the control center failed with exit code {code}", hint="keiji demo --plain shows the demo as text"
            )


@contextlib.contextmanager
def _terminal_reset_on_error() -> Iterator[None]:
    """Reset the terminal if the control center is terminated before it can do so itself."""
    attributes = termios.tcgetattr(sys.stdin)
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError, termios.error):  # the terminal may have been closed
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, attributes)
            click.echo(_RESET_TERMINAL, nl=False, color=True)
        raise


@contextlib.contextmanager
def temporary_workspace() -> Iterator[Paths]:
    """Create a workspace in a temporary folder; on exit stop everything that runs in it and remove it."""
    root = Path(tempfile.mkdtemp(prefix="keiji-"))
    paths = Paths.under(root)
    try:
        paths.tasks.mkdir(parents=True)
        paths.settings.write_text(template(find_local_zone().name), encoding="utf-8")
        yield paths
    finally:
        for signum in (signal.SIGINT, *_TERMINATION_SIGNALS):
            signal.signal(signum, signal.SIG_IGN)  # a second Ctrl-C must not interrupt the cleanup
        try:
            services.stop_engine_and_runs(paths)
        except KeijiError as error:
            click.echo(f"killing the engine: {error.message}", err=True)
            with contextlib.suppress(KeijiError):
                services.kill_engine(paths)
        shutil.rmtree(paths.runtime, ignore_errors=True)
        file_tree.remove(root)


@contextlib.contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """Handle termination signals like Ctrl-C, so that the process cleans up and then exits with the signal's code."""
    received: list[int] = []

    def interrupt(signum: int, _: FrameType | None) -> None:
        received.append(signum)
        signal.raise_signal(signal.SIGINT)  # the only signal on which asyncio.run cancels its tasks

    previous_handlers = {signum: signal.signal(signum, interrupt) for signum in _TERMINATION_SIGNALS}
    # Shells start background processes with SIGINT ignored.
    previous_handlers[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        if received:
            sys.exit(128 + received[0])
        raise
    finally:
        for signum, handler in previous_handlers.items():
            signal.signal(signum, handler)

"""``keiji demo``: a throw-away system with six tasks at work, in the control center or, without a terminal, as text."""

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

from keiji import engine_process
from keiji.errors import KeijiError
from keiji.names import slug_of
from keiji.paths import Paths
from keiji.settings import local_zone, template
from keiji_cli import client, output, services
from keiji_cli.demo_tasks import TASKS, DemoTask

# Leave the alternate screen, show the cursor, report neither mouse nor focus nor pasting.
_PLAIN_SCREEN = "\x1b[?1049l\x1b[?25h\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1004l\x1b[?2004l"
_ENDINGS = (signal.SIGTERM, signal.SIGHUP)


@click.command()
@click.option("--plain", is_flag=True, help="Show it as lines of text, also on a terminal.")
@click.option("--seconds", default=15.0, show_default=True, type=click.FloatRange(1), help="How long, as text.")
def demo(seconds: float, *, plain: bool) -> None:
    """Watch a throw-away system with six tasks at work.

    Its workspace, its engine and everything else of it are gone when this ends.
    """
    with _ended_by_signals(), throw_away() as paths:
        output.progress(f"a workspace for this demo alone: {paths.workspace}")
        set_up(paths)
        output.progress(f"engine started with pid {engine_process.start(paths)}")
        if plain or not (sys.stdin.isatty() and sys.stdout.isatty()):
            from keiji_cli.demo_plain import show

            show(paths, seconds)
        else:
            _control_center(paths)
        output.progress("stopping the engine and what runs, removing the folder")


def set_up(paths: Paths) -> None:
    """Create and build the tasks of the demo, and say so."""
    for task in TASKS:
        _set_up(paths, task)


def _set_up(paths: Paths, task: DemoTask) -> None:
    from keiji_engine.bus.protocol import BuildTask, Create, Disable

    client.carry_out(paths, Create(name=task.name, description=task.description))
    source = paths.source(slug_of(task.name))
    (source / "function.py").write_text(task.function_source, encoding="utf-8")
    (source / "schedule.py").write_text(task.schedule_source, encoding="utf-8")
    client.carry_out(paths, BuildTask(task=task.name))
    if task.is_disabled:
        client.carry_out(paths, Disable(task=task.name))
    output.progress(f"built {task.name}: {task.description}")


def _control_center(paths: Paths) -> None:
    command = [sys.executable, "-m", "keiji_tui", "--throw-away"]
    with (
        _terminal_put_back(),
        subprocess.Popen(command, env=os.environ | engine_process.environment_of(paths)) as running,
    ):
        try:
            code = running.wait()
        except BaseException:
            running.terminate()
            raise
        if code:
            raise KeijiError(f"the control center ended with exit code {code}")


@contextlib.contextmanager
def _terminal_put_back() -> Iterator[None]:
    """Put the terminal back as it was where what draws on it is ended in the middle, and cannot do so itself."""
    before = termios.tcgetattr(sys.stdin)
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError, termios.error):  # it may be the terminal that is gone
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
            click.echo(_PLAIN_SCREEN, nl=False, color=True)
        raise


@contextlib.contextmanager
def throw_away() -> Iterator[Paths]:
    """Give a workspace in a temporary folder; then end whatever runs in it, and remove it."""
    root = Path(tempfile.mkdtemp(prefix="keiji-"))
    paths = Paths.under(root)
    try:
        paths.tasks.mkdir(parents=True)
        paths.settings.write_text(template(local_zone()), encoding="utf-8")
        yield paths
    finally:
        for number in (signal.SIGINT, *_ENDINGS):
            signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not leave an engine behind
        try:
            services.end_everything(paths)
        except KeijiError as error:
            click.echo(f"ending the engine by force: {error.message}", err=True)
            with contextlib.suppress(KeijiError):
                services.kill_engine(paths)
        shutil.rmtree(paths.runtime, ignore_errors=True)
        _remove(root)


def _remove(root: Path) -> None:
    for folder in (root / "builds").glob("**"):
        folder.chmod(0o700)  # builds are read-only, and so are their folders
    shutil.rmtree(root)


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Have a signal to end unwind this process as Ctrl-C does, so that it cleans up, where Python would just end."""
    received: list[int] = []

    def unwind(number: int, _: FrameType | None) -> None:
        received.append(number)
        signal.raise_signal(signal.SIGINT)  # asyncio takes back what it began after this one only

    before = {number: signal.signal(number, unwind) for number in _ENDINGS}
    # Shells start what is in the background with SIGINT ignored.
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        if received:
            sys.exit(128 + received[0])
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

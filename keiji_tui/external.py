"""Other programs that use the terminal while they run: the user's editor and pager."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import termios
import time
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from textual.app import App, SuspendNotSupported

from keiji.errors import KeijiError

_EDITORS = ("sensible-editor", "vi", "nano")
_EDITOR_HINT = "add a line such as export EDITOR=nano to the startup file of your shell"
_PAGER_HINT = "add a line such as export PAGER=less to the startup file of your shell"
_POLL_SECONDS = 0.02
_LEAST_SECONDS = 0.5  # a pager that exits sooner, such as less -F with a short file, has not been read


def open_in_editor(app: App[Any], file: Path) -> None:
    """Open a file in an editor and return when the editor exits. The control center is not updated meanwhile.

    The editor is $VISUAL, $EDITOR, or the first of sensible-editor, vi and nano that is installed.

    Raises:
        KeijiError: there is no editor, it cannot be started or fails, or the file does not exist.
    """
    name = "VISUAL" if os.environ.get("VISUAL") else "EDITOR"
    command = _command(name, _EDITOR_HINT) or [editor for editor in _EDITORS if shutil.which(editor)][:1]
    if not command:
        raise KeijiError("there is no editor: $VISUAL and $EDITOR are not set", hint=_EDITOR_HINT)
    if not file.is_file():
        raise KeijiError(f"cannot edit {file.name}: {_topmost_missing(file)} does not exist")
    code = _run(app, [*command, str(file)], _EDITOR_HINT, is_pager=False)
    if code:
        raise KeijiError(f"{command[0]} exited with code {code}")


def open_in_pager(app: App[Any], files: Sequence[Path]) -> None:
    """Open files at their end in $PAGER, by default less, and return when the user is done.

    Raises:
        KeijiError: the pager cannot be started.
    """
    command = _command("PAGER", _PAGER_HINT) or ["less"]
    if Path(command[0]).name == "less" and len(command) == 1:
        command.append("+G")
    _run(app, [*command, *map(str, files)], _PAGER_HINT, is_pager=True)


def _command(name: str, hint: str) -> list[str]:
    try:
        return shlex.split(os.environ.get(name, ""))
    except ValueError as error:
        raise KeijiError(f"${name} is invalid: {error}", hint=hint) from error


def _topmost_missing(file: Path) -> Path:
    """Return the file, or the topmost of its folders that does not exist."""
    return next((folder for folder in reversed(file.parents) if not folder.exists()), file)


def _run(app: App[Any], command: Sequence[str], hint: str, *, is_pager: bool) -> int:
    """Run a program and return its exit code. Raises KeijiError if it cannot be started."""
    if shutil.which(command[0]) is None:
        raise KeijiError(f"cannot start {command[0]}: command not found", hint=hint)
    failure: OSError | None = None
    code = 0
    try:
        with app.suspend(), _interrupts_ignored():
            # An exception that leaves this block would keep the application from taking the terminal back.
            try:
                started_at = time.monotonic()
                with subprocess.Popen(command) as process:
                    has_read_keys = _wait(process)
                code = process.returncode
            except OSError as error:
                failure = error
            else:
                if is_pager and (not has_read_keys or time.monotonic() - started_at < _LEAST_SECONDS):
                    _wait_for_key()
    except SuspendNotSupported as error:
        raise KeijiError("this terminal cannot run other programs", hint=shlex.join(command)) from error
    if failure is not None:
        raise KeijiError(f"cannot start {command[0]}: {failure.strerror or failure}", hint=hint) from failure
    return code


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Ignore ctrl+c and ctrl+\\, which terminals send to all programs of a job, not only to the one that shows."""
    # Handlers, unlike SIG_IGN, are not inherited by the program.
    handlers = {signum: signal.signal(signum, lambda *_: None) for signum in (signal.SIGINT, signal.SIGQUIT)}
    try:
        yield
    finally:
        for signum, handler in handlers.items():
            signal.signal(signum, handler)


def _wait(process: subprocess.Popen[bytes]) -> bool:
    """Wait for a program; return whether it has read single keys, as interactive pagers do and ``cat`` does not."""
    has_read_keys = False
    while True:
        try:
            process.wait(_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            has_read_keys = has_read_keys or _reads_keys()
        else:
            return has_read_keys


def _reads_keys() -> bool:
    """Return whether the terminal delivers single keys rather than lines."""
    try:
        return not termios.tcgetattr(sys.stdin)[tty.LFLAG] & termios.ICANON
    except (termios.error, OSError):
        return True  # there is no terminal


def _wait_for_key() -> None:
    try:
        attributes = termios.tcgetattr(sys.stdin)
        tty.setraw(sys.stdin)
    except (termios.error, OSError):
        return  # there is no terminal
    try:
        sys.stdout.write("\r\n\x1b[7mPress any key to return to keiji-tui\x1b[m")
        sys.stdout.flush()
        os.read(sys.stdin.fileno(), 1024)
        sys.stdout.write("\r\n")
        sys.stdout.flush()
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSAFLUSH, attributes)

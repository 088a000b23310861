"""Showing and following a log, read directly from its files and so independent of the engine."""

from __future__ import annotations

import errno
import os
import select
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from keiji.errors import UsageError, unwritable_output
from keiji_cli.editor import EDITORS, open_in_editor

if TYPE_CHECKING:
    from keiji.log_reader import LogReader

DEFAULT_LINES = 100
_POLL_INTERVAL = 100  # milliseconds
_CHUNK_BYTES = 256 * 1024
_MAX_TAIL_BYTES = 64 * 1024 * 1024


def log_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of all commands that show a log: ``lines``, ``follow`` and ``editor``."""
    for editor in reversed(EDITORS):
        command = click.option(f"--{editor}", "editor", flag_value=editor, help=f"Open the log in {editor}.")(command)
    command = click.option("-f", "--follow", is_flag=True, help="Keep following the log until Ctrl-C.")(command)
    return click.option("-n", "--lines", default=DEFAULT_LINES, show_default=True, help="Number of lines to show.")(
        command
    )


def show_log(path: Path, *, lines: int, follow: bool, editor: str | None) -> None:
    """Print the last ``lines`` lines of a log; with ``follow`` also new output, across rotation.

    Raises:
        UsageError: ``lines`` is negative.
        KeijiError: the editor cannot be used, or standard output cannot be written.
    """
    if lines < 0:
        raise UsageError(f"invalid value --lines={lines}", hint="the number of lines must be 0 or more")
    if editor:
        open_in_editor(path, editor)
        return
    from keiji.log_reader import LogReader

    reader, stdout = LogReader(path), sys.stdout.buffer
    position, text = reader.tail(lines, _MAX_TAIL_BYTES) if lines else (reader.size(), b"")
    if not reader.size() and not follow:
        click.echo(f"nothing has been logged yet to {path}", err=True)
    _write(stdout, text)
    if follow:
        _follow(reader, position + len(text), stdout)


def _follow(reader: LogReader, position: int, stdout: BinaryIO) -> None:
    """Write new text until interrupted. Raises BrokenPipeError as soon as the reader of a pipe has closed it."""
    pipe = select.poll()
    pipe.register(stdout, 0)  # for errors only
    while True:
        start, text = reader.read(position, _CHUNK_BYTES)
        if start > position:
            click.echo(f"… {start - position} bytes were rotated away before they could be shown", err=True)
        position = start + len(text)
        if not text:
            if pipe.poll(_POLL_INTERVAL):
                raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
            continue
        _write(stdout, text)


def _write(stdout: BinaryIO, text: bytes) -> None:
    try:
        stdout.write(text)
        stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise unwritable_output(error) from error

"""Showing a log straight from its files, with or without an engine, and following it as it grows."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from keiji.errors import UsageError
from keiji_cli.editor import EDITORS, open_in

if TYPE_CHECKING:
    from keiji.log_reader import LogReader

LINES = 100
_LOOK_AGAIN_SECONDS = 0.1
_PIECE = 256 * 1024
_MOST_AT_ONCE = 64 * 1024 * 1024


def log_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of everything that shows a log: ``lines``, ``follow`` and ``editor``."""
    for each in reversed(EDITORS):
        command = click.option(f"--{each}", "editor", flag_value=each, help=f"Open it in {each} instead.")(command)
    command = click.option("-f", "--follow", is_flag=True, help="Go on showing what comes, until Ctrl-C.")(command)
    return click.option("-n", "--lines", default=LINES, show_default=True, help="How many lines to show.")(command)


def show(path: Path, *, lines: int, follow: bool, editor: str | None) -> None:
    """Print the last ``lines`` lines of a log and, with ``follow``, whatever comes after, also across rotation.

    Raises:
        UsageError: ``lines`` is below zero.
        KeijiError: the editor that was asked for cannot be had.
    """
    if lines < 0:
        raise UsageError(f"--lines={lines}: a number of lines is needed, 0 or more")
    if editor:
        open_in(editor, path)
        return
    from keiji.log_reader import LogReader

    reader, output = LogReader(path), sys.stdout.buffer
    position, text = reader.tail(lines, _MOST_AT_ONCE) if lines else (reader.size(), b"")
    if not reader.size() and not follow:
        click.echo(f"{path} has nothing in it yet", err=True)
    output.write(text)
    output.flush()
    if follow:
        _follow(reader, position + len(text), output)


def _follow(reader: LogReader, position: int, output: BinaryIO) -> None:
    while True:
        found, text = reader.read(position, _PIECE)
        if found > position:
            click.echo(f"… {found - position} bytes were rotated away before they could be shown", err=True)
        position = found + len(text)
        if not text:
            time.sleep(_LOOK_AGAIN_SECONDS)
            continue
        output.write(text)
        output.flush()

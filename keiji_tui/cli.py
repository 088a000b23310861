"""The command ``keiji-tui``: options, configuration files and exit codes."""

from __future__ import annotations

import argparse
import difflib
import gc
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import keiji
from keiji.paths import Paths
from keiji_tui.actions import keys_config
from keiji_tui.terminal.terminfo import TerminalInfo
from keiji_tui.text.sanitise import plain

if TYPE_CHECKING:
    from keiji_tui.app import ControlCenter


_SIGNAL_BASE = 128  # exit codes above it are those of signals


@dataclass(frozen=True, slots=True)
class Options:
    """The parsed command line.

    Args:
        task: name or slug of the task to select at startup.
        run: run of that task whose log is opened at startup.
        is_temporary: whether the engine is stopped after the control center exits, as in ``keiji demo``.
    """

    paths: Paths
    task: str | None = None
    run: str | None = None
    readonly: bool = False
    theme: str = ""
    is_temporary: bool = False


def parse_options(arguments: Sequence[str] | None = None) -> Options:
    """Parse the command line. Exits with 0 after ``--help``, ``--version`` or ``--keys``, and with 2 on wrong usage."""
    parser = argparse.ArgumentParser(
        prog="keiji-tui",
        description="The control center shows all tasks and services of an engine and controls them. "
        "The engine keeps running when the control center exits, and the control center stays open when the engine "
        "stops.",
        epilog="Press ? in the control center to see its keys.",
    )
    parser.add_argument("--root", metavar="DIR", help="use the installation in DIR instead of KEIJI_ROOT")
    parser.add_argument("--task", metavar="NAME", help="select this task")
    parser.add_argument(
        "--run",
        metavar="RUN",
        help="with --task: open its log at this run; RUN is the beginning of an id, 'last' or 'failed'",
    )
    parser.add_argument("--readonly", action="store_true", help="do not allow any changes")
    parser.add_argument("--theme", metavar="NAME", default="", help="use this theme for one session")
    parser.add_argument("--keys", action="store_true", help="print all keys in the format of keys.conf and exit")
    parser.add_argument("--temporary", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("-V", "--version", action="version", version=f"keiji {keiji.__version__}")
    parsed = parser.parse_args(arguments)
    environment = {**os.environ, "KEIJI_ROOT": parsed.root} if parsed.root else dict(os.environ)
    if parsed.run and not parsed.task:
        parser.error("--run requires --task")
    if parsed.keys:
        try:
            print(keys_config.to_text(), end="", flush=True)  # noqa: T201
        except OSError as error:
            parser.exit(1, f"keiji-tui: cannot write to standard output: {error.strerror}\n")
        parser.exit()
    paths = Paths.from_environment(environment)
    return Options(paths, parsed.task, parsed.run, parsed.readonly, parsed.theme, parsed.temporary)


def unknown_theme(name: str, known: Iterable[str]) -> str:
    """Return an error message if there is no theme of that name, otherwise ""."""
    names = sorted(known)
    if not name or name in names:
        return ""
    near = difflib.get_close_matches(name, names, n=1)
    suggestion = f"did you mean {near[0]}?" if near else f"the themes are {', '.join(names)}"
    return f"keiji-tui: unknown theme {name!r}; {suggestion}"


def unusable_terminal(term: str | None) -> str:
    """Return an error message if the control center cannot be shown here, otherwise "".

    Args:
        term: the value of $TERM.
    """
    streams = (("input", sys.stdin), ("output", sys.stdout), ("error", sys.stderr))
    redirected = [name for name, stream in streams if not stream.isatty()]
    if redirected:
        reason = f"a terminal is required, but standard {' and '.join(redirected)} is redirected"
    elif not TerminalInfo.read(term or "").is_usable:
        value = "$TERM is not set" if not term else f"$TERM is {plain(term)!r}"
        reason = f"{value}, and such a terminal cannot show full-screen programs; try TERM=xterm-256color"
    else:
        return ""
    return f"keiji-tui: {reason}\nUse `keiji task get` and `keiji system status` to get the same information as text."


def load_app() -> type[ControlCenter]:
    """Import the application."""
    gc.disable()  # imports create no garbage, so collecting during startup would only cost time
    from keiji_tui.app import ControlCenter

    gc.freeze()
    gc.enable()
    return ControlCenter


def main() -> int:
    """Run ``keiji-tui``; return its exit code: 0 on success, 1 on failure, 2 on wrong usage."""
    control_center = load_app()
    from keiji.errors import KeijiError
    from keiji.local_zone import find_local_zone
    from keiji_engine.bus.views import LinkState
    from keiji_tui import preferences
    from keiji_tui.actions import keys_config
    from keiji_tui.engine.bus_link import BusLink
    from keiji_tui.terminal.clipboard import Clipboard
    from keiji_tui.terminal.signals import exit_on_signals
    from keiji_tui.text.glyphs import needs_ascii
    from keiji_tui.text.sanitise import plain
    from keiji_tui.theme.ascii_filter import AsciiFilter

    try:
        options = parse_options()
    except KeijiError as error:
        sys.stderr.write(f"keiji-tui: {error}\n")
        return error.exit_code
    message = unusable_terminal(os.environ.get("TERM"))
    if message:
        sys.stderr.write(f"{message}\n")
        return 2
    encoding = sys.stderr.encoding  # Textual draws on standard error
    data, keys = options.paths.data, keys_config.load(options.paths.workspace / keys_config.FILE)
    app = control_center(
        BusLink(options.paths),
        home=os.environ.get("HOME", ""),
        zone=find_local_zone().name,
        task=options.task,
        run=options.run,
        readonly=options.readonly,
        keys=keys.keys,
        config_errors=keys.errors,
        theme=options.theme or preferences.load_theme(data),
        save_theme=partial(preferences.save_theme, data),
        clipboard=Clipboard(os.environ),
        output_filters=[AsciiFilter(encoding)] if needs_ascii(os.environ.get("TERM", ""), encoding) else (),
    )
    unknown = unknown_theme(options.theme, app.available_themes)
    if unknown:
        sys.stderr.write(f"{unknown}\n")
        return 2
    with exit_on_signals(app):
        app.run()
    if app.return_code and app.return_code > _SIGNAL_BASE:
        return app.return_code  # the terminal may be gone
    for message in keys.errors:
        sys.stderr.write(f"{plain(message)}\n")
    engine = app.store.engine
    if app.store.link is not LinkState.OFFLINE and engine is not None and not options.is_temporary:
        sys.stdout.write(f"The engine (pid {engine.pid}) keeps running. Stop it with: keiji system stop\n")
    return app.return_code or 0

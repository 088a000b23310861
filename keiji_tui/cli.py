"""The command `keiji-tui`: options, configuration files, exit codes."""

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

if TYPE_CHECKING:
    from keiji_tui.app import ControlCenter


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for.

    Args:
        task: name or slug of the task to open with.
        run: the run of that task whose log to open with.
        throw_away: whether the engine ends with this, so that nothing need be said of it.
    """

    paths: Paths
    task: str | None = None
    run: str | None = None
    readonly: bool = False
    theme: str = ""
    throw_away: bool = False


def read(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line; ends the program with 0 after help or version, with 2 on wrong usage."""
    parser = argparse.ArgumentParser(
        prog="keiji-tui",
        description="The control center: every task and service of an engine, live. It survives the engine, "
        "and the engine survives it.",
        epilog="? inside shows the keys.",
    )
    parser.add_argument("--root", metavar="DIR", help="where the engine's state is, instead of KEIJI_ROOT")
    parser.add_argument("--task", metavar="NAME", help="open with this task selected")
    parser.add_argument(
        "--run", metavar="RUN", help="with --task: open its log at this run: how its id begins, last, or failed"
    )
    parser.add_argument("--readonly", action="store_true", help="look only: nothing can be changed")
    parser.add_argument("--theme", metavar="NAME", default="", help="the colours; T inside shows all and remembers one")
    parser.add_argument("--keys", action="store_true", help="print all keys, as a keys.conf to begin with, and end")
    parser.add_argument("--throw-away", action="store_true", help=argparse.SUPPRESS)  # the engine ends with the demo
    parser.add_argument("--version", action="version", version=f"keiji {keiji.__version__}")
    given = parser.parse_args(arguments)
    environ = {**os.environ, "KEIJI_ROOT": given.root} if given.root else dict(os.environ)
    if given.run and not given.task:
        parser.error("--run needs --task")
    if given.keys:
        try:
            print(keys_config.written(), end="", flush=True)  # noqa: T201
        except OSError as error:
            parser.exit(1, f"keiji-tui: standard output cannot be written: {error.strerror}\n")
        parser.exit()
    paths = Paths.from_environment(environ)
    return Options(paths, given.task, given.run, given.readonly, given.theme, given.throw_away)


def unknown_theme(name: str, known: Iterable[str]) -> str:
    """Return what to say where there is no theme of that name, "" where there is."""
    names = sorted(known)
    if not name or name in names:
        return ""
    near = difflib.get_close_matches(name, names, n=1)
    return f"keiji-tui: there is no theme {name!r}; " + (f"did you mean {near[0]}?" if near else ", ".join(names))


def refusal() -> str:
    """Return why this cannot be shown here, "" where it can."""
    if sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty():
        return ""
    return (
        "keiji-tui: this needs a terminal, and one of standard input, output and error is none\n"
        "keiji task get and keiji system status show the same as text"
    )


def load_app() -> type[ControlCenter]:
    """Load the terminal, and return what it is made of."""
    gc.disable()  # nothing that is loaded here is garbage: looking for some would be a part of every start
    from keiji_tui.app import ControlCenter

    gc.freeze()
    gc.enable()
    return ControlCenter


def main() -> int:
    """Run `keiji-tui`; returns its exit code: 0 done, 1 failed, 2 wrong usage."""
    center = load_app()
    from keiji.errors import KeijiError
    from keiji.local_zone import find_local_zone
    from keiji_engine.bus.views import LinkState
    from keiji_tui import preferences
    from keiji_tui.actions import key_conflicts, keys_config
    from keiji_tui.engine.bus_link import BusLink
    from keiji_tui.text.glyphs import needs_ascii
    from keiji_tui.text.sanitise import plain
    from keiji_tui.theme.ascii_filter import AsciiFilter

    try:
        options = read()
    except KeijiError as error:
        sys.stderr.write(f"keiji-tui: {error}\n")
        return error.exit_code
    reason = refusal()
    if reason:
        sys.stderr.write(f"{reason}\n")
        return 2
    encoding = sys.stderr.encoding  # Textual draws on standard error
    data, bound = options.paths.data, key_conflicts.load(options.paths.workspace / keys_config.FILE)
    app = center(
        BusLink(options.paths), home=os.environ.get("HOME", ""), zone=find_local_zone().name, task=options.task,
        run=options.run,
        readonly=options.readonly, keys=bound.keys, complaints=bound.complaints,
        theme=options.theme or preferences.theme(data), remember=partial(preferences.remember_theme, data),
        output_filters=[AsciiFilter(encoding)] if needs_ascii(os.environ.get("TERM", ""), encoding) else (),
    )  # fmt: skip
    unknown = unknown_theme(options.theme, app.available_themes)
    if unknown:
        sys.stderr.write(f"{unknown}\n")
        return 2
    app.run()
    for complaint in bound.complaints:
        sys.stderr.write(f"{plain(complaint)}\n")
    engine = app.store.engine
    if app.store.link is not LinkState.OFFLINE and engine is not None and not options.throw_away:
        sys.stdout.write(f"The engine (pid {engine.pid}) keeps running; keiji system stop ends it.\n")
    return app.return_code or 0

"""`keiji-tui` as it is started: its options, its files, and what it says after the end."""

from __future__ import annotations

import gc
import os
import sys
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keiji_tui.app import ControlCenter


def loaded() -> type[ControlCenter]:
    """Load the terminal, and return what it is made of."""
    gc.disable()  # nothing that is loaded here is garbage: looking for some would be a part of every start
    from keiji_tui.app import ControlCenter

    gc.freeze()
    gc.enable()
    return ControlCenter


def main() -> int:
    """Run `keiji-tui`; returns its exit code: 0 done, 1 failed, 2 wrong usage."""
    center = loaded()
    from keiji.errors import KeijiError
    from keiji.local_zone import find_local_zone
    from keiji_engine.bus.views import LinkState
    from keiji_tui import keyfile, rebinding, remembered
    from keiji_tui.link.bus import BusLink
    from keiji_tui.logs.sanitise import plain
    from keiji_tui.options import read, refusal, unknown_theme

    try:
        options = read()
    except KeijiError as error:
        sys.stderr.write(f"keiji-tui: {error}\n")
        return error.exit_code
    reason = refusal()
    if reason:
        sys.stderr.write(f"{reason}\n")
        return 2
    data, bound = options.paths.data, rebinding.load(options.paths.workspace / keyfile.FILE)
    app = center(
        BusLink(options.paths), home=os.environ.get("HOME", ""), zone=find_local_zone().name, task=options.task,
        run=options.run,
        readonly=options.readonly, keys=bound.keys, complaints=bound.complaints,
        theme=options.theme or remembered.theme(data), remember=partial(remembered.remember_theme, data),
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

"""``keiji-engine``: the daemon, in the foreground."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from keiji import __version__, engine_process
from keiji import settings as settings_file
from keiji.errors import KeijiError
from keiji.paths import Paths


def main(arguments: Sequence[str] | None = None, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> int:
    """Run an engine until it is stopped, then exit the process. Returns an exit code only if the engine fails.

    Args:
        clock: returns the current time in UTC.
    """
    gc.disable()  # the imports create no garbage, and collections would take a tenth of the start-up time
    from keiji_engine.engine import Engine

    gc.freeze()
    gc.enable()
    options = _parser(engine_process.SERVICES).parse_args(arguments)
    for name, value in (("KEIJI_ROOT", options.root), ("KEIJI_WORKSPACE", options.workspace)):
        if value:
            os.environ[name] = value
    try:
        paths = Paths.from_environment()
        with engine_process.hold_engine_lock(paths):
            # The file may be left over from a killed engine.
            paths.engine_info.unlink(missing_ok=True)
            settings = settings_file.load(paths.settings)
            only = options.only or engine_process.SERVICES
            asyncio.run(Engine(paths, settings, only=only, echo=not options.quiet, clock=clock).run())
    except KeijiError as error:
        sys.stderr.write(f"keiji-engine: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    # Everything is closed and recorded. Finalizing the interpreter would only delay a restart.
    os._exit(0)


def _parser(services: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="keiji-engine",
        description="Runs the tasks of a workspace on time. SIGTERM stops it gracefully (live runs continue), a second "
        "SIGTERM at once; SIGHUP reloads the settings and starts every service that is not running.",
    )
    parser.add_argument("--root", metavar="DIR", help="keep everything under DIR (KEIJI_ROOT)")
    parser.add_argument("--workspace", metavar="DIR", help="the folder of settings.conf and tasks/ (KEIJI_WORKSPACE)")
    parser.add_argument("--only", action="append", choices=services, help="start only this service; may be repeated")
    parser.add_argument("--quiet", action="store_true", help="write to the service logs only, not to standard error")
    parser.add_argument("--version", action="version", version=f"keiji-engine {__version__}")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""``keiji-engine``: the daemon, in the foreground."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NoReturn

from keiji import __version__, engine_process
from keiji import settings as settings_file
from keiji.errors import KeijiError
from keiji.formats import parse_duration
from keiji.paths import Paths

_MAX_DESCRIPTORS = 65_536  # more would only cost memory: some libraries reserve space for every possible descriptor
_MAX_DRAIN = 7 * 86400  # seconds
_MAX_GRACE_AS_PID_1 = 8.0  # seconds; Docker kills the container after 10


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
    _raise_descriptor_limit()
    _restrict_umask()
    for number in (signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)  # until the engine handles them; by default, they kill the process
    try:
        paths = Paths.from_environment()
        with engine_process.hold_engine_lock(paths) as lock:
            # The file may be left over from a killed engine.
            lock.paths.engine_info.unlink(missing_ok=True)
            settings = settings_file.load(paths.settings)
            only = options.only or engine_process.SERVICES
            drain = options.drain
            if drain is None and os.getpid() == 1:
                drain = 0.0  # the container ends with this process, and so do all runs
            engine = Engine(
                lock.paths,
                settings,
                lock=lock,
                only=only,
                echo=not options.quiet,
                clock=clock,
                drain=drain,
                max_grace=_MAX_GRACE_AS_PID_1 if os.getpid() == 1 else None,
                is_detached=options.detached,
            )
            asyncio.run(engine.run())
    except KeijiError as error:
        sys.stderr.write(f"keiji-engine: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    # Everything is closed and recorded. Finalizing the interpreter would only delay a restart.
    os._exit(0)


def _raise_descriptor_limit() -> None:
    """Allow this process as many descriptors as it may have: each live run and each client needs one.

    The launcher gives the previous limit back to the runs, since programs that use select() fail above 1024.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MAX_DESCRIPTORS)
    os.environ["KEIJI_DESCRIPTOR_LIMIT"] = str(soft)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    with contextlib.suppress(ValueError, OSError):  # macOS allows less than it reports
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _restrict_umask() -> None:
    """Create all files without permissions for other users. The launcher gives the previous umask back to the runs."""
    os.environ["KEIJI_UMASK"] = str(os.umask(0o077))


def _seconds(text: str) -> float:
    try:
        value = parse_duration(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= _MAX_DRAIN:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration such as 5m, from 0 to 7 days")
    return value


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Exit with the message and a hint, as ``keiji`` does."""
        self.exit(2, f"{self.prog}: {message}\n{self.prog} --help shows the usage\n")


def _parser(services: Sequence[str]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="keiji-engine",
        description="Runs the tasks of a workspace on time. SIGTERM stops it gracefully (live runs continue), a second "
        "SIGTERM at once; SIGHUP reloads the settings and starts every service that is not running; SIGUSR1 starts the "
        "bus if it is not running.",
    )
    parser.add_argument("--root", metavar="DIR", help="keep everything under DIR (KEIJI_ROOT)")
    parser.add_argument("--workspace", metavar="DIR", help="the folder of settings.conf and tasks/ (KEIJI_WORKSPACE)")
    parser.add_argument("--only", action="append", choices=services, help="start only this service; may be repeated")
    parser.add_argument("--quiet", action="store_true", help="write to the service logs only, not to standard error")
    parser.add_argument(
        "--drain",
        type=_seconds,
        metavar="DURATION",
        help="when stopped, wait up to DURATION (such as 5m) for the live runs, then stop them, instead of leaving "
        "them to the next engine; as PID 1 of a container, the default is 0",
    )
    parser.add_argument("--detached", action="store_true", help=argparse.SUPPRESS)  # by `keiji system start`
    parser.add_argument("-V", "--version", action="version", version=f"keiji-engine {__version__}")
    return parser


if __name__ == "__main__":
    sys.exit(main())

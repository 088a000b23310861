"""Entry script of a build: ``--run`` calls the function of the task, ``--schedule`` shows when it is due.

Every build contains a copy of this file. It imports as little as possible, because every run starts with it. A task's
``main.py`` uses it, too.
"""

import os
import sys

USAGE = "usage: --run (call the function) or --schedule (show when it is due)"


def run(source: str) -> int:
    """Call ``function()`` of ``function.py`` in ``source`` and return the exit code.

    An integer returned by the function is the exit code. An exception, returned or raised, gives exit code 1 and is
    printed to standard error. Any other result gives exit code 0.
    """
    sys.path.insert(0, source)
    sys.argv = [os.path.join(source, "function.py")]  # noqa: PTH118 - importing pathlib takes a third of the start-up time
    try:
        result = __import__("function").function()
        if type(result).__name__ == "coroutine":
            import asyncio

            result = asyncio.run(result)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:  # noqa: BLE001 - every exception is shown to the author
        sys.excepthook(type(error), error.with_traceback(_author_traceback(error)), error.__traceback__)
        return 1
    if isinstance(result, BaseException):
        print(f"function() returned {type(result).__name__}: {result}", file=sys.stderr)  # noqa: T201
        return 1
    if type(result) is int:
        return result if 0 <= result <= 255 else 1
    return 0


def _author_traceback(error: BaseException):  # type: ignore[no-untyped-def]  # importing the type would cost start-up time
    """Return the traceback without the frames of this file."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return trace


def show_schedule(source: str) -> int:
    """Print a description of the schedule in ``source`` and its next five instants; return the exit code."""
    from datetime import UTC, datetime
    from itertools import islice
    from zoneinfo import ZoneInfo

    from keiji.policy import Policy

    zone = _zone(source)
    sys.path.insert(0, source)
    module = __import__("schedule")
    policy = getattr(module, "policy", None) or Policy()
    now = datetime.now(UTC)
    schedule = module.schedule().with_context(policy.schedule_context(anchor=now, zone=zone))
    print(schedule.describe())  # noqa: T201
    for due in islice(schedule.preview(now), 5):
        shown = due.at.astimezone(ZoneInfo(schedule.context.zone)).strftime("%a %Y-%m-%d %H:%M:%S %Z")
        print(f"{shown}  {due.note}".rstrip())  # noqa: T201
    return 0


def _zone(source: str) -> str:
    """Return the time zone of the workspace around ``source``, else of the default workspace, else of this machine."""
    from pathlib import Path

    from keiji.errors import KeijiError
    from keiji.local_zone import find_local_zone
    from keiji.paths import Paths
    from keiji.settings import load

    for settings in (Path(source).parent.parent / "settings.conf", Paths.from_environment().settings):
        try:
            return load(settings).time_zone
        except KeijiError:
            continue
    return find_local_zone().name


def main(source: str, arguments: list[str]) -> int:
    """Run the command line ``arguments`` for the task in ``source``; return the exit code."""
    if arguments == ["--run"]:
        return run(source)
    if arguments == ["--schedule"]:
        return show_schedule(source)
    print(USAGE, file=sys.stderr)  # noqa: T201
    return 2


if __name__ == "__main__":
    build = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH120
    sys.exit(main(os.path.join(build, "src"), sys.argv[1:]))  # noqa: PTH118

"""Entry script of a build: ``--run`` calls the function of the task, ``--schedule`` shows when it is due.

Every build contains a copy of this file. It imports as little as possible, because every run starts with it. A task's
``main.py`` uses it, too.
"""

import os
import sys

USAGE = "usage: {program} --run [NAME=VALUE…] (run the task) or {program} --schedule (show when it is due)"
PARAMETERS_VARIABLE = "KEIJI_PARAMS"


def run(source: str) -> int:
    """Call ``function()`` of ``function.py`` in ``source`` and return the exit code.

    The parameters in ``KEIJI_PARAMS``, if any, become its keyword arguments; one that is invalid gives exit code 2.

    An awaitable that the function returns is awaited. An integer that it returns (or that the awaitable gives) is the
    exit code, as with `sys.exit`: modulo 256, except that only 0 gives 0. An exception, returned or raised, gives exit
    code 1 and is printed to standard error. Any other result gives exit code 0.

    ``SystemExit`` ends the run as it ends a Python program: with the integer as exit code, or with 1 after printing the
    argument. ``KeyboardInterrupt`` propagates, so that Python ends the process by SIGINT.
    """
    report_fd = _report_fd()
    arguments_of = _read_parameters()  # type: ignore[no-untyped-call]
    sys.path.insert(0, source)
    sys.argv = [os.path.join(source, "function.py")]  # noqa: PTH118 - importing pathlib takes a third of the start-up time
    try:
        function = __import__("function").function
        result = function(**arguments_of(function)) if arguments_of is not None else function()
        if _is_awaitable(result):
            result = _await(result)
    except KeyboardInterrupt:
        raise
    except SystemExit as error:
        return _exit_code_of(error, report_fd)
    except BaseException as error:  # noqa: BLE001 - every exception is shown to the author
        _report(report_fd, _describe(error, source))
        error = error.with_traceback(_author_traceback(error))
        try:
            sys.excepthook(type(error), error, error.__traceback__)
        except BaseException as hook_error:  # noqa: BLE001 - a hook of the sources must not change the outcome
            sys.__excepthook__(type(hook_error), hook_error, hook_error.__traceback__)
        return 1
    if isinstance(result, BaseException):
        _print_error(f"function() returned {type(result).__name__}: {_text(result)}")
        _report(report_fd, _describe(result, source))
        return 1
    if isinstance(result, bool):
        return 0
    try:
        return _exit_code(result.__index__())
    except Exception:  # noqa: BLE001 - it is no integer; other types may define any attribute
        return 0


def _read_parameters():  # type: ignore[no-untyped-def]  # importing the type would cost start-up time
    """Return a function that gives the keyword arguments of a function; None if the run has no parameters."""
    text = os.environ.get(PARAMETERS_VARIABLE, "{}")
    if text == "{}":
        return None
    import json

    from keiji.parameters import convert_arguments  # before the sources are on the path, which could shadow it

    values = {name: str(value) for name, value in json.loads(text).items()}

    def arguments_of(function):  # type: ignore[no-untyped-def]
        try:
            return convert_arguments(function, values)
        except ValueError as error:
            print(f"function(): {error}", file=sys.stderr)  # noqa: T201
            sys.exit(2)

    return arguments_of


def _exit_code(number: int) -> int:
    """Return an exit code as the kernel reports it; 1 for a number other than 0 that it would report as 0."""
    return number & 255 or int(number != 0)


def _exit_code_of(error: SystemExit, report_fd: int | None) -> int:
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return _exit_code(error.code)
    text = _text(error.code)
    _print_error(text)
    _report(report_fd, ["", text, "", ""])
    return 1


def _print_error(text: str) -> None:
    try:
        print(text, file=sys.stderr)  # noqa: T201
    except Exception:  # noqa: BLE001 - the sources may have closed or replaced it
        return


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - as in a traceback
        return f"<{type(value).__name__} str() failed>"


def _is_awaitable(value: object) -> bool:
    if hasattr(type(value), "__await__"):
        return True
    code = getattr(value, "gi_code", None)  # of a generator made a coroutine by types.coroutine
    return code is not None and bool(getattr(code, "co_flags", 0) & 0x100)


def _await(awaitable: object) -> object:
    """Return what an awaitable gives, and what that gives if it is an awaitable, too."""
    import asyncio

    async def resolve(value: object) -> object:
        while _is_awaitable(value):
            value = await value  # type: ignore[misc]  # it is an awaitable
        return value

    if isinstance(awaitable, asyncio.Future):  # it belongs to a loop that the function has created
        return awaitable.get_loop().run_until_complete(resolve(awaitable))
    return asyncio.run(resolve(awaitable))


def _author_traceback(error: BaseException):  # type: ignore[no-untyped-def]  # importing the type would cost start-up time
    """Return the traceback without the frames of this file."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return trace


# ── the report to the shim: see keiji_engine/runner/failure.py ───────────────────────────────────────────────────────

_REPORT_VARIABLE = "KEIJI_FAILURE_FD"
_MAX_EXCEPTIONS = 10
_MAX_FIELD_LENGTH = 1000
_MAX_REPORT_BYTES = 32 * 1024


def _report_fd() -> int | None:
    """Return the descriptor for the report, hidden from the sources; None if the run was started manually."""
    number = os.environ.pop(_REPORT_VARIABLE, None)
    if number is None:
        return None
    try:
        os.set_inheritable(int(number), False)
    except (OSError, ValueError):
        return None
    return int(number)


def _report(descriptor: int | None, fields: list[str]) -> None:
    if descriptor is None:
        return
    report = "\0".join(field.replace("\0", " ")[:_MAX_FIELD_LENGTH] for field in fields)
    try:
        os.set_blocking(descriptor, False)  # the pipe may be small, and the shim reads it after the end of the run
        os.write(descriptor, report.encode("utf-8", "replace")[:_MAX_REPORT_BYTES] + b"\0")
    except OSError:  # the sources have closed it, or the shim was killed
        return


def _describe(error: BaseException, source: str) -> list[str]:
    """Return type, message, file and line of an exception, then those of the exceptions in it if it is a group."""
    fields: list[str] = []
    remaining = [error]
    while remaining and len(fields) < 4 * _MAX_EXCEPTIONS:
        each = remaining.pop(0)
        fields += [_name(type(each)), _text(each), *_location(each, source)]
        if isinstance(each, BaseExceptionGroup):
            remaining[:0] = each.exceptions
    return fields


def _name(kind: type) -> str:
    """Return the name of a type of exceptions as a traceback shows it."""
    module = kind.__module__
    return kind.__qualname__ if module in ("builtins", "__main__") else f"{module}.{kind.__qualname__}"


def _location(error: BaseException, source: str) -> tuple[str, str]:
    """Return the file, relative to ``source``, and the line that raised an exception; "" if it was not raised there."""
    prefix = source + os.sep
    found = ("", "")
    trace = error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file.startswith(prefix):
            found = (file[len(prefix) :], str(trace.tb_lineno or ""))
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and isinstance(error.filename, str) and error.filename.startswith(prefix):
        found = (error.filename[len(prefix) :], str(error.lineno or ""))
    return found


def show_schedule(source: str) -> int:
    """Print a description of the schedule in ``source`` and its next five instants; return the exit code."""
    from datetime import UTC, datetime
    from itertools import islice
    from pathlib import Path
    from zoneinfo import ZoneInfo

    from keiji.errors import KeijiError
    from keiji.policy import Policy
    from keiji.records import TaskKind
    from keiji.schedule import from_dict, manual
    from keiji_engine.builds.task_file import TaskFile, read_task_file
    from keiji_engine.builds.validate_child import InvalidSources, Validator

    zone = _zone(source)
    sys.path.insert(0, source)
    validator = Validator(Path(source))
    try:
        task_file = read_task_file(Path(source)) or TaskFile()
        schedule, policy = task_file.schedule, task_file.policy
        if schedule is None and task_file.kind is not TaskKind.PYTHON:
            schedule = manual
        if schedule is None or Path(source, "schedule.py").exists():
            module, _ = validator.import_module("schedule")
            validator.reject_second(module, "schedule", task_file.lines.get("schedule"))
            validator.reject_second(module, "policy", task_file.lines.get("policy"))
            if schedule is None:
                schedule = from_dict(validator.evaluate_schedule(module)[0])
            if policy is None:
                policy = Policy.from_dict(validator.read_policy(module) or {})
    except (InvalidSources, KeijiError) as error:
        _print_error(str(error))
        return 1
    now = datetime.now(UTC)
    schedule = schedule.with_context((policy or Policy()).schedule_context(anchor=now, zone=zone))
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


def main(source: str, arguments: list[str], program: str) -> int:
    """Run the command line ``arguments`` for the task in ``source``; return the exit code.

    Args:
        program: what the user has typed before the arguments, for the usage message.
    """
    if arguments[:1] == ["--run"] and all("=" in word[1:] for word in arguments[1:]):
        if arguments[1:]:
            import json

            os.environ[PARAMETERS_VARIABLE] = json.dumps(dict(word.split("=", 1) for word in arguments[1:]))
        return run(source)
    if arguments == ["--schedule"]:
        return show_schedule(source)
    print(USAGE.format(program=program), file=sys.stderr)  # noqa: T201
    return 2


if __name__ == "__main__":
    build = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH120
    sys.exit(main(os.path.join(build, "src"), sys.argv[1:], sys.argv[0]))  # noqa: PTH118

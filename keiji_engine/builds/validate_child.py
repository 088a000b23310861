"""The inside of the gate: looks at the sources of a build in a process that they may hang, crash or end.

Run as a script by the interpreter that will run the task. Says what it found as lines of JSON in a file of its own, so
that nothing the author prints is mistaken for it: ``{"stage": …}`` before each step, then ``{"passed": …}`` or
``{"failed": …}``. It never calls ``function()``.
"""

from __future__ import annotations

import faulthandler
import inspect
import json
import linecache
import os
import py_compile
import resource
import sys
import time
import traceback
from contextlib import suppress
from importlib.util import cache_from_source
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, NoReturn

BIGGEST_FILE = 256 * 1024 * 1024


class Refused(Exception):
    """The sources do not pass; the message says where and why, as people read it."""


def located(file: str, line: int | None, text: str, source: str = "") -> Refused:
    """Return the refusal that points at a line: "function.py, line 3: invalid syntax", and the line itself."""
    place = f"{file}, line {line}" if line else file
    return Refused(f"{place}: {text}" + (f"\n    {source.strip()}" if source.strip() else ""))


class Examiner:
    """Looks at one folder of sources."""

    def __init__(self, source: Path, final: Path) -> None:
        self.source = source
        self.final = final

    def compile(self) -> None:
        """Compile every ``.py``, keep the bytecode beside it, and close the folders to writing."""
        for file in sorted(self.source.rglob("*.py")):
            path = file.relative_to(self.source)
            if error := check_file(self.source, str(path)):
                raise Refused(error)
            compiled = Path(cache_from_source(str(file)))
            # Unchecked: the sources beside it are read-only, so no run needs to compare the two.
            mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
            py_compile.compile(str(file), str(compiled), str(self.final / path), doraise=True, invalidation_mode=mode)
            compiled.chmod(0o444)
        for folder, _, _ in os.walk(self.source):
            os.chmod(folder, 0o555)

    def load(self, name: str) -> tuple[ModuleType, float]:
        """Import ``name``.py and return it with the seconds that took."""
        started = time.perf_counter()
        try:
            module = __import__(name)
        except SystemExit as error:
            line = self.author_line(error)
            raise located(f"{name}.py", line, "it ends the program while it is imported") from error
        except BaseException as error:
            raise self.blamed(error, f"{name}.py") from error
        return module, time.perf_counter() - started

    def callable_of(self, module: ModuleType, name: str, example: str) -> Any:
        """Return the function ``name`` of ``module``, which takes no arguments."""
        file = f"{module.__name__}.py"
        found = getattr(module, name, None)
        if not callable(found):
            raise located(file, None, f"it has no function {name}(); it needs one: {example}")
        code = getattr(found, "__code__", None)
        line = code.co_firstlineno if code and self.relative(code.co_filename) == file else None
        if needed := needed_by(found):
            raise located(file, line, f"{name}() is called without arguments, but asks for {', '.join(needed)}")
        if inspect.isgeneratorfunction(found) or inspect.isasyncgenfunction(found):
            raise located(file, line, f"{name}() has a yield in it, so calling it would do nothing")
        return found

    def schedule_of(self, module: ModuleType) -> tuple[dict[str, Any], int | None]:
        """Call ``schedule()`` and return what it gives, as data, and the line where it begins."""
        from keiji.errors import InvalidSchedule
        from keiji.schedule import OnDays, Schedule, every, from_dict

        function = self.callable_of(module, "schedule", "def schedule(): return every(10).seconds")
        line = getattr(getattr(function, "__code__", None), "co_firstlineno", None)
        try:
            value = function()
        except SystemExit as error:
            raise located("schedule.py", self.author_line(error), "schedule() ends the program") from error
        except BaseException as error:
            raise self.blamed(error, "schedule.py") from error
        if isinstance(value, every):
            wanted = f"every({value.interval}), but not of what: every({value.interval}).seconds"
            raise located("schedule.py", line, f"schedule() returned {wanted}")
        if isinstance(value, OnDays):
            days = ".and_.".join(value.days)
            wanted = f'on.{days} without a time: on.{days}.at("22:00")'
            raise located("schedule.py", line, f"schedule() returned {wanted}")
        if not isinstance(value, Schedule):
            shown = "nothing" if value is None else repr(value)[:80]
            raise located("schedule.py", line, f"schedule() returned {shown}; return every(10).seconds, for example")
        data = value.to_dict()
        try:
            kept = from_dict(data)
        except InvalidSchedule as error:
            reason = f"schedule() returned a schedule that keiji cannot keep: {error}"
            raise located("schedule.py", line, reason) from error
        return kept.to_dict(), line

    def policy_of(self, module: ModuleType) -> dict[str, Any]:
        """Return the ``policy`` of ``schedule.py`` as data; the default one where it has none."""
        from keiji.policy import Policy

        policy = getattr(module, "policy", None)
        if policy is None:
            policy = Policy()
        if not isinstance(policy, Policy):
            raise located("schedule.py", None, f"policy is {policy!r:.80}; it is to be a Policy(…) of keiji")
        return policy.to_dict()

    def blamed(self, error: BaseException, file: str) -> Refused:
        """Return the refusal that points at the author's line, the last one inside the sources."""
        if isinstance(error, SyntaxError) and error.filename:
            inside = self.relative(error.filename)
            if inside:
                return located(inside, error.lineno, error.msg, error.text or "")
        # The message of a KeijiError is made for people; the others need the name of their class.
        shown = "".join(traceback.format_exception_only(type(error), error)).strip() or type(error).__name__
        if "keiji.errors" in {cls.__module__ for cls in type(error).__mro__}:
            shown = str(error)
        line, source = None, ""
        for frame, number in self.author_frames(error.__traceback__):
            file, line = frame, number
            source = linecache.getline(str(self.source / frame), number)
        return located(file, line, shown, source)

    def author_line(self, error: BaseException) -> int | None:
        lines = [number for _, number in self.author_frames(error.__traceback__)]
        return lines[-1] if lines else None

    def author_frames(self, trace: TracebackType | None) -> list[tuple[str, int]]:
        frames = [(self.relative(frame.f_code.co_filename), number) for frame, number in traceback.walk_tb(trace)]
        return [(file, number) for file, number in frames if file]

    def relative(self, file: str) -> str:
        """Return the path of ``file`` below the sources; "" when it is not one of them."""
        for root in (self.source, self.final):
            if file.startswith(f"{root}{os.sep}"):
                return file[len(str(root)) + 1 :]
        return ""


def needed_by(function: Any) -> list[str]:
    """Return the names of the arguments without which ``function`` cannot be called."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []  # something in C that does not say
    many = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [each.name for each in parameters if each.default is each.empty and each.kind not in many]


def check_file(source: Path, path: str) -> str:
    """Return why ``path`` in ``source`` does not compile, as "function.py, line 3: invalid syntax"; "" when it does."""
    try:
        compile((source / path).read_bytes(), path, "exec", dont_inherit=True)
    except SyntaxError as error:
        return str(located(path, error.lineno, error.msg, error.text or ""))
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        return str(located(path, None, f"it cannot be compiled: {error or type(error).__name__}"))
    except OSError:
        return ""  # it is gone by now, or was never ours to read; who looks for files says so
    return ""


class Report:
    """Where the findings go; a process that the author forked has nothing to say in it."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.owner = os.getpid()

    def say(self, **finding: Any) -> None:
        if os.getpid() != self.owner:
            os._exit(0)
        os.write(self.descriptor, json.dumps(finding).encode() + b"\n")


def examine(examiner: Examiner, report: Report, *, is_new: bool) -> None:
    """Go through all steps and report what was found."""
    if is_new:
        report.say(stage="compiling it")
        examiner.compile()
    try:
        import keiji  # noqa: F401 - before the author's folder is in the path, where a file could hide ours
    except ImportError as error:
        raise Refused(f"the interpreter {sys.executable} does not have keiji: {error}") from error
    sys.path.insert(0, str(examiner.source))
    report.say(stage="importing function.py")
    module, seconds = examiner.load("function")
    examiner.callable_of(module, "function", "def function() -> None: …")
    report.say(stage="importing schedule.py")
    module, _ = examiner.load("schedule")
    report.say(stage="calling schedule()")
    schedule, line = examiner.schedule_of(module)
    policy = examiner.policy_of(module)
    report.say(passed={"schedule": schedule, "policy": policy, "import_seconds": seconds, "line": line})


def _limit(seconds: float) -> None:
    for what, most in (
        (resource.RLIMIT_CPU, int(seconds) + 2),
        (resource.RLIMIT_FSIZE, BIGGEST_FILE),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def main(arguments: list[str]) -> NoReturn:
    """Examine sources within a limit and end the process, whatever threads the author left in it.

    Args:
        arguments: the sources, where they will lie, the numbers of the open files for the report and for the trace of
            a crash, the limit in seconds, and "new" where they are to be compiled.
    """
    source, final, report_at, trace_at, seconds, age = arguments
    _limit(float(seconds))
    # Both are written without the interpreter's help, so that a hang or a crash in C still tells the author's line;
    # and the limit holds when whoever started us is dead.
    faulthandler.enable(file=int(trace_at), all_threads=False)
    faulthandler.dump_traceback_later(float(seconds), exit=True, file=int(trace_at))
    report = Report(int(report_at))
    try:
        examine(Examiner(Path(source), Path(final)), report, is_new=age == "new")
    except Refused as refusal:
        report.say(failed=str(refusal))
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # what the author printed is not worth a failure
            stream.flush()
    os._exit(0)


def main_syntax(source: str, paths: list[str]) -> None:
    """Print the first syntax error among ``paths``; nothing when there is none."""
    for path in paths:
        if found := check_file(Path(source), path):
            sys.stdout.write(found)
            return


if __name__ == "__main__":
    if sys.argv[1] == "--syntax":
        main_syntax(sys.argv[2], sys.argv[3:])
    else:
        main(sys.argv[1:])

"""The validation process: compiles and imports the sources of a build, which may hang, crash or exit the process.

Run as a script by the interpreter that will run the task. It reports as lines of JSON to a file of its own, so that
output of the sources cannot be mistaken for a report: ``{"stage": …}`` before each step, then ``{"passed": …}`` or
``{"failed": …}``. It never calls ``function()``.
"""

from __future__ import annotations

import ast
import faulthandler
import inspect
import json
import linecache
import marshal
import os
import py_compile
import resource
import sys
import time
import traceback
from contextlib import suppress
from importlib.machinery import all_suffixes
from importlib.util import cache_from_source
from inspect import getmodulename
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, NoReturn

MAX_FILE_SIZE = 256 * 1024 * 1024
_PYC_HEADER_BYTES = 16


class InvalidSources(Exception):
    """The sources are invalid; the message has location and reason, and is shown to users."""


def error_at(file: str, line: int | None, reason: str, source_line: str = "") -> InvalidSources:
    """Return the error for a location: "function.py, line 3: invalid syntax", followed by the source line."""
    location = f"{file}, line {line}" if line else file
    return InvalidSources(f"{location}: {reason}" + (f"\n    {source_line.strip()}" if source_line.strip() else ""))


class Validator:
    """Validates one folder of sources.

    Args:
        source: the folder.
    """

    def __init__(self, source: Path) -> None:
        self.source = source

    def compile_all(self) -> None:
        """Compile every ``.py``, store the bytecode next to it, and make the folders read-only."""
        # The content of a build must not depend on the .env, which may set PYTHONPYCACHEPREFIX and PYTHONOPTIMIZE.
        sys.pycache_prefix = None
        for file in sorted(self.source.rglob("*.py")):
            path = file.relative_to(self.source)
            if error := check_file(self.source, str(path)):
                raise InvalidSources(error)
            compiled = Path(cache_from_source(str(file), optimization=""))
            # Unchecked: the sources are read-only, so a run need not compare them with the bytecode.
            mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
            try:
                py_compile.compile(
                    str(file),
                    str(compiled),
                    str(path),  # importing replaces it with the path of the file, wherever the build is then
                    doraise=True,
                    optimize=0,
                    invalidation_mode=mode,
                )
            except OSError as failure:
                reason = f"its bytecode cannot be written: {failure.strerror or failure}"
                raise error_at(str(path), None, reason) from failure
            _check_complete(compiled, path)
            compiled.chmod(0o444)
        for folder, _, _ in os.walk(self.source):
            os.chmod(folder, 0o555)

    def reject_shadowing(self) -> None:
        """Reject a module that hides one of the standard library or keiji, for example ``queue.py``.

        A run imports it instead of the original, and so do the modules that need the original. The validation cannot
        find that by importing, since many modules are imported only when a function is called.
        """
        for entry in sorted(self.source.iterdir()):
            is_package = entry.is_dir() and any((entry / f"__init__{suffix}").exists() for suffix in all_suffixes())
            name = entry.name if is_package else getmodulename(entry.name) if entry.is_file() else None
            if name not in sys.stdlib_module_names and name != "keiji":
                continue
            origin = "keiji" if name == "keiji" else "Python's standard library"
            raise error_at(entry.name, None, f"has the name of a module of {origin}, which it would replace; rename it")

    def import_module(self, name: str) -> tuple[ModuleType, float]:
        """Import ``name``.py; return the module and the duration of the import in seconds."""
        started = time.perf_counter()
        try:
            module = __import__(name)
        except SystemExit as error:
            raise error_at(f"{name}.py", self.author_line(error), "the import raised SystemExit") from error
        except BaseException as error:
            raise self.error_in_sources(error, f"{name}.py") from error
        return module, time.perf_counter() - started

    def require_function(self, module: ModuleType, name: str, example: str, *, takes_arguments: bool = False) -> Any:
        """Return the function ``name`` of ``module``, after checking that it can be called.

        Args:
            takes_arguments: whether it may require keyword arguments.
        """
        file = f"{module.__name__}.py"
        function = getattr(module, name, None)
        if not callable(function):
            raise error_at(file, None, f"{name}() is missing or not callable; define it, for example: {example}")
        code = getattr(function, "__code__", None)
        line = code.co_firstlineno if code and self.relative(code.co_filename) == file else None
        required = required_parameters(function, but_keywords=takes_arguments)
        if required:
            raise error_at(file, line, f"{name}() is called without arguments but requires {', '.join(required)}")
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise error_at(file, line, f"{name}() contains a yield, so calling it would do nothing")
        return function

    def evaluate_schedule(self, module: ModuleType) -> tuple[dict[str, Any], int | None]:
        """Call ``schedule()``; return the schedule as data and the line at which ``schedule()`` starts."""
        from keiji.errors import InvalidSchedule
        from keiji.schedule import from_dict, to_schedule

        function = self.require_function(module, "schedule", "def schedule(): return every(10).seconds")
        line = getattr(getattr(function, "__code__", None), "co_firstlineno", None)
        try:
            value = function()
        except SystemExit as error:
            raise error_at("schedule.py", self.author_line(error), "schedule() raised SystemExit") from error
        except BaseException as error:
            raise self.error_in_sources(error, "schedule.py") from error
        try:
            schedule = to_schedule(value)
        except InvalidSchedule as error:
            raise error_at("schedule.py", line, f"schedule() returned {error}") from error
        data = schedule.to_dict()
        try:
            stored = from_dict(data)
        except InvalidSchedule as error:
            reason = f"schedule() returned a schedule that cannot be stored: {error}"
            raise error_at("schedule.py", line, reason) from error
        return stored.to_dict(), line

    def read_policy(self, module: ModuleType) -> dict[str, Any] | None:
        """Return the ``policy`` of ``schedule.py`` as data, or None if there is none."""
        from keiji.policy import Policy

        policy = getattr(module, "policy", None)
        if policy is None:
            return None
        if not isinstance(policy, Policy):
            raise error_at("schedule.py", None, f"policy must be a keiji.Policy, not {policy!r:.80}")
        return policy.to_dict()

    def reject_second(self, module: ModuleType, name: str, first_line: int | None) -> None:
        """Reject a ``schedule`` or a ``policy`` in schedule.py that is in task.toml, too, on ``first_line``."""
        if first_line is not None and getattr(module, name, None) is not None:
            line = line_of((self.source / "schedule.py").read_bytes(), name)
            text = "schedule()" if name == "schedule" else name
            reason = f"{text} is set here, and {name} on line {first_line} of task.toml; remove one of them"
            raise error_at("schedule.py", line, reason)

    def error_in_sources(self, error: BaseException, file: str) -> InvalidSources:
        """Return the error located at the innermost frame inside the sources, or in ``file`` if there is none."""
        if isinstance(error, SyntaxError) and error.filename:
            path = self.relative(error.filename)
            if path:
                return error_at(path, error.lineno, error.msg, error.text or "")
        # The message of a KeijiError is written for users; other messages need the class name.
        reason = "".join(traceback.format_exception_only(type(error), error)).strip() or type(error).__name__
        if "keiji.errors" in {cls.__module__ for cls in type(error).__mro__}:
            reason = str(error)
        frames = self.author_frames(error.__traceback__)
        if not frames:
            return error_at(file, None, reason)
        path, line = frames[-1]
        return error_at(path, line, reason, linecache.getline(str(self.source / path), line))

    def author_line(self, error: BaseException) -> int | None:
        """Return the line of the innermost frame inside the sources."""
        frames = self.author_frames(error.__traceback__)
        return frames[-1][1] if frames else None

    def author_frames(self, trace: TracebackType | None) -> list[tuple[str, int]]:
        """Return (path, line) of each frame inside the sources, the innermost last."""
        frames = [(self.relative(frame.f_code.co_filename), line) for frame, line in traceback.walk_tb(trace)]
        return [(path, line) for path, line in frames if path]

    def relative(self, file: str) -> str:
        """Return the path of ``file`` relative to the sources; "" if it is not a source."""
        root = f"{self.source}{os.sep}"
        return file[len(root) :] if file.startswith(root) else ""


def line_of(source: bytes, name: str) -> int | None:
    """Return the line of the last top-level statement that defines, assigns or imports ``name``."""
    found = None
    for statement in ast.parse(source).body:
        names = {getattr(statement, "name", None)}
        if isinstance(statement, ast.Import | ast.ImportFrom):
            names = {alias.asname or alias.name for alias in statement.names}
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            names = {target.id for target in targets if isinstance(target, ast.Name)}
        if name in names:
            found = statement.lineno
    return found


def required_parameters(function: Any, *, but_keywords: bool = False) -> list[str]:
    """Return the names of the parameters of ``function`` that have no default.

    Args:
        but_keywords: whether to leave out those that can be passed by name.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []  # a C function without a signature
    optional: set[Any] = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    if but_keywords:
        optional |= {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    return [p.name for p in parameters if p.default is p.empty and p.kind not in optional]


def check_file(source: Path, path: str) -> str:
    """Return why ``path`` in ``source`` does not compile, as "function.py, line 3: invalid syntax"; "" if it does."""
    try:
        compile((source / path).read_bytes(), path, "exec", dont_inherit=True)
    except SyntaxError as error:
        return str(error_at(path, error.lineno, error.msg, error.text or ""))
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        return str(error_at(path, None, f"cannot be compiled: {error or type(error).__name__}"))
    except OSError:
        return ""  # removed since it was listed, or unreadable, which the snapshot reports
    return ""


def _check_complete(compiled: Path, path: Path) -> None:
    """Raise InvalidSources if bytecode was written in part: `py_compile` ignores that on a disk that is almost full."""
    try:
        marshal.loads(compiled.read_bytes()[_PYC_HEADER_BYTES:])
    except (EOFError, ValueError, TypeError) as failure:
        raise error_at(str(path), None, "its bytecode cannot be written completely; the disk may be full") from failure


class Report:
    """The file for the report. A process forked by the sources inherits it, but cannot write to it."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.owner = os.getpid()

    def write(self, **fields: Any) -> None:
        """Append a line; exit if this is a forked process."""
        if os.getpid() != self.owner:
            os._exit(0)
        os.write(self.descriptor, json.dumps(fields).encode() + b"\n")


def validate(validator: Validator, report: Report, *, is_new: bool, parts: dict[str, Any]) -> None:
    """Run all steps and report the result. Raises InvalidSources.

    Args:
        parts: "function" and "schedule_file", whether there is a function.py and a schedule.py to validate;
            "schedule" and "policy", on which line of task.toml they are set, or None; "is_manual", whether that
            schedule is manual.
    """
    validator.reject_shadowing()
    if is_new:
        report.write(stage="compiling the sources")
        validator.compile_all()
    try:
        import keiji  # noqa: F401 - before the sources are on the path, where a file could shadow the package
    except ImportError as error:
        raise InvalidSources(f"keiji is not installed for the interpreter {sys.executable}: {error}") from error
    sys.path.insert(0, str(validator.source))
    passed: dict[str, Any] = {
        "schedule": None, "policy": None, "import_seconds": 0.0, "line": None, "parameters": [],
    }  # fmt: skip
    if parts["function"]:
        from keiji.parameters import parameters_of

        report.write(stage="importing function.py")
        module, passed["import_seconds"] = validator.import_module("function")
        example = "def function() -> None: …"
        function = validator.require_function(module, "function", example, takes_arguments=True)
        passed["parameters"] = [parameter.to_dict() for parameter in parameters_of(function)]
    if parts["schedule_file"]:
        report.write(stage="importing schedule.py")
        module, _ = validator.import_module("schedule")
        validator.reject_second(module, "schedule", parts["schedule"])
        validator.reject_second(module, "policy", parts["policy"])
        if parts["schedule"] is None:
            report.write(stage="calling schedule()")
            passed["schedule"], passed["line"] = validator.evaluate_schedule(module)
        if parts["policy"] is None:
            passed["policy"] = validator.read_policy(module)
    is_manual = parts["is_manual"] or (passed["schedule"] or {}).get("type") == "Manual"
    if parts["function"] and not is_manual:  # other tasks also run without parameters
        validator.require_function(sys.modules["function"], "function", example)
    report.write(passed=passed)


def _set_resource_limits(timeout: float) -> None:
    for kind, limit in (
        (resource.RLIMIT_CPU, int(timeout) + 2),
        (resource.RLIMIT_FSIZE, MAX_FILE_SIZE),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def main(arguments: list[str]) -> NoReturn:
    """Validate sources within a timeout and exit, without waiting for threads started by the sources.

    Args:
        arguments: the sources, the file descriptors of the report and of the crash trace, the timeout in seconds,
            "new" if the sources are to be compiled, else "existing", and the parts to validate as JSON.
    """
    source, report_descriptor, crash_descriptor, timeout, state, parts = arguments
    _set_resource_limits(float(timeout))
    # faulthandler works without the interpreter: a hang or a crash in C code still gets the line of the author's code,
    # and the timeout applies even if the parent process has died.
    faulthandler.enable(file=int(crash_descriptor), all_threads=False)
    faulthandler.dump_traceback_later(float(timeout), exit=True, file=int(crash_descriptor))
    report = Report(int(report_descriptor))
    try:
        validate(Validator(Path(source)), report, is_new=state == "new", parts=json.loads(parts))
    except InvalidSources as error:
        report.write(failed=str(error))
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # lost output of the sources must not fail the build
            stream.flush()
    os._exit(0)


def main_syntax(source: str, paths: list[str]) -> None:
    """Print the first syntax error among ``paths``; print nothing if there is none."""
    for path in paths:
        if error := check_file(Path(source), path):
            sys.stdout.write(error)
            return


if __name__ == "__main__":
    if sys.argv[1] == "--syntax":
        main_syntax(sys.argv[2], sys.argv[3:])
    else:
        main(sys.argv[1:])

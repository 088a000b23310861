"""Building a task: copy the sources to a staging folder, validate them there, move the result into place.

Existing builds are unaffected until the last step, a single rename: a build that fails, is cancelled or is killed
changes nothing.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, ParamSpec, TypeVar
from zoneinfo import ZoneInfo

from keiji.errors import BuildFailed, KeijiError
from keiji.formats import format_moment
from keiji.policy import Policy
from keiji.records import Build, Execution, TaskKind
from keiji.schedule import Manual, Once, Schedule, Several, from_dict, manual
from keiji_engine.builds import build_store, command, snapshot
from keiji_engine.builds.environment import child_environment
from keiji_engine.builds.task_file import FILE as TASK_FILE
from keiji_engine.builds.task_file import TaskFile, read_task_file
from keiji_engine.builds.validate import PYTHON_OPTIONS, TIMEOUT, Parts, ValidationResult, validate

MANIFEST_FORMAT = 2
ENTRY = "entry.py"
_ENTRY = Path(__file__).with_name(ENTRY)
_MANIFEST = "manifest.json"
_FUNCTION, _SCHEDULE = "function.py", "schedule.py"
_P = ParamSpec("_P")
_T = TypeVar("_T")


async def build_task(
    source: Path,
    builds: Path,
    *,
    python: str,
    now: datetime,
    zone: str = "UTC",
    inherited: Mapping[str, str] = os.environ,
    defaults: Mapping[str, str] = MappingProxyType({}),
    timeout: float = TIMEOUT,
) -> tuple[Build, list[datetime]]:
    """Build the task in ``source``; return the build and the next five instants of its schedule after ``now``.

    The same sources and interpreter give the same build, which is then reused. The schedule is evaluated every time,
    because it may depend on ``.env``.

    Args:
        builds: folder of all builds.
        python: absolute path of an interpreter for which keiji is installed.
        zone: time zone for the times of day in the schedule.
        inherited: the engine's environment; only a few of its variables are passed on.
        defaults: the environment variables of all tasks in the workspace.
        timeout: time limit of the validation in seconds.

    Raises:
        BuildFailed: the first line of the message has file, line and reason.
    """
    try:
        return await _build(
            source,
            Path(os.path.abspath(builds)),
            python=python,
            now=now,
            zone=zone,
            inherited=inherited,
            defaults=defaults,
            timeout=timeout,
            publishes=True,
        )
    except OSError as error:
        where = error.filename or builds
        hint = "free some space; the previous build is unaffected" if error.errno == errno.ENOSPC else ""
        raise BuildFailed(f"the build cannot be written: {error.strerror or error}: {where}", hint=hint) from error


async def check_task(
    source: Path,
    *,
    python: str,
    now: datetime,
    zone: str = "UTC",
    inherited: Mapping[str, str] = os.environ,
    defaults: Mapping[str, str] = MappingProxyType({}),
    timeout: float = TIMEOUT,
) -> Build:
    """Validate a task as `build_task` does, in a temporary folder, and return the build that would result.

    Raises:
        BuildFailed: the first line of the message has file, line and reason.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="keiji-check-") as folder:
            built, _ = await _build(
                source,
                Path(folder),
                python=python,
                now=now,
                zone=zone,
                inherited=inherited,
                defaults=defaults,
                timeout=timeout,
                publishes=False,
            )
    except OSError as error:
        where = error.filename or tempfile.gettempdir()
        raise BuildFailed(f"the task cannot be checked: {error.strerror or error}: {where}") from error
    return built


async def _build(
    source: Path,
    builds: Path,
    *,
    python: str,
    now: datetime,
    zone: str,
    inherited: Mapping[str, str],
    defaults: Mapping[str, str],
    timeout: float,
    publishes: bool,
) -> tuple[Build, list[datetime]]:
    with build_store.staging_folder(builds) as staging:
        staged, scratch = staging / "build", staging / "scratch"
        for folder in (staged, scratch):
            folder.mkdir()
        files = await _run_in_thread(snapshot.copy_sources, source, staged / "src")
        try:
            task_file = await _run_in_thread(read_task_file, staged / "src") or TaskFile()
            variables = {"KEIJI_TASK": source.name}
            environment = child_environment(source, inherited, variables, defaults={**defaults, **task_file.env})
        except KeijiError as error:
            raise BuildFailed(error.message, hint=error.hint) from error
        parts = _parts_of(task_file, files, source)
        if task_file.kind is TaskKind.PYTHON:
            interpreter = await _run_in_thread(_describe_interpreter, python)
            entry = _ENTRY.read_text(encoding="utf-8")
            argv: tuple[str, ...] = (python, *PYTHON_OPTIONS, "-u", ENTRY, "--run")
        else:
            interpreter, entry, argv = python, "", task_file.argv
        target = builds / snapshot.build_hash(files, interpreter, entry)
        existing = await _run_in_thread(_find_reusable, target)
        sources = (target if existing else staged) / "src"
        if parts.function or parts.schedule_file:
            result = await validate(
                python,
                sources,
                scratch=scratch,
                environment=environment,
                is_new=not existing,
                timeout=timeout,
                parts=parts,
            )
        else:
            result = ValidationResult()
            await _run_in_thread(_make_read_only, staged / "src")
        schedule = task_file.schedule or result.schedule or manual  # a command may be without
        policy = task_file.policy or result.policy or Policy()
        location = task_file.at("schedule") if task_file.schedule else _in_schedule_file(result.line)
        upcoming = _upcoming(schedule, policy, now, zone, location)
        built = Build(
            hash=target.name,
            command=argv,
            files=files,
            schedule=schedule,
            policy=policy,
            import_seconds=result.import_seconds,
            created_at=existing.created_at if existing else now,
            execution=await _run_in_thread(_execution_of, task_file, result, sources, environment),
        )
        if publishes and not existing:
            await _run_in_thread(_publish, staged, target, built, interpreter, entry, python=python)
    return built, upcoming


def _parts_of(task_file: TaskFile, files: Collection[str], source: Path) -> Parts:
    """Return what there is to validate. Raises BuildFailed if a file is missing."""
    is_python = task_file.kind is TaskKind.PYTHON
    if is_python and _FUNCTION not in files:
        hint = f"a task needs {_FUNCTION}, or command or shell in {TASK_FILE}"
        raise BuildFailed(f"{_FUNCTION}: the file is missing in {source}", hint=hint)
    if is_python and task_file.schedule is None and _SCHEDULE not in files:
        hint = f"a task needs {_SCHEDULE}, or schedule in {TASK_FILE}"
        raise BuildFailed(f"{_SCHEDULE}: the file is missing in {source}", hint=hint)
    policy = task_file.lines.get("policy") if task_file.policy is not None else None
    schedule = task_file.lines.get("schedule")
    is_manual = isinstance(task_file.schedule, Manual)
    return Parts(
        function=is_python, schedule_file=_SCHEDULE in files, schedule=schedule, policy=policy, is_manual=is_manual
    )


def _execution_of(
    task_file: TaskFile, result: ValidationResult, sources: Path, environment: Mapping[str, str]
) -> Execution:
    """Return how the build is executed. Raises BuildFailed if its program or its working folder does not exist."""
    execution = Execution(
        kind=task_file.kind,
        cwd=task_file.cwd,
        stdin=task_file.stdin,
        ok_exit_codes=task_file.ok_exit_codes,
        env=task_file.env,
        parameters=task_file.parameters or result.parameters,
        tags=task_file.tags,
    )
    cwd = command.working_folder(execution, sources, environment)
    if execution.cwd and not cwd.is_dir():
        reason = "is not a folder" if cwd.exists() else "does not exist"
        raise BuildFailed(f"{task_file.at('cwd')}: {cwd} {reason}")
    if task_file.kind is TaskKind.PYTHON:
        return execution
    is_shell = task_file.kind is TaskKind.SHELL
    key = "command" if not is_shell else "shell_program" if "shell_program" in task_file.lines else "shell"
    argv = task_file.argv
    if not is_shell:
        argv = command.insert_parameters(argv, execution.parameters, command.all_values(execution.parameters, {}))
    program = argv[0]
    if program.startswith("~/"):
        hint = f"write the whole path: {environment.get('HOME', '').rstrip('/')}{program[1:]}"
        raise BuildFailed(f"{task_file.at(key)}: ~ in {program} is not replaced, since no shell is involved", hint=hint)
    if "/" in program and not program.startswith(("/", "./")) and not execution.cwd:
        hint = f"for a program in the task's folder, write ./{program}; or set cwd"
        raise BuildFailed(
            f"{task_file.at(key)}: {program} is relative to the working folder, which is empty", hint=hint
        )
    try:
        found = command.find_program(program, sources, cwd, environment)
    except command.ProgramNotFound as error:
        raise BuildFailed(f"{task_file.at(key)}: {error.message}", hint=error.hint) from error
    return replace(execution, program=program if program.startswith("./") else str(found))


def _make_read_only(sources: Path) -> None:
    for folder, _, _ in os.walk(sources):
        os.chmod(folder, 0o555)


def _in_schedule_file(line: int | None) -> str:
    return f"{_SCHEDULE}, line {line}" if line else _SCHEDULE


def _upcoming(schedule: Schedule, policy: Policy, now: datetime, zone: str, location: str) -> list[datetime]:
    """Return the next five instants. Raises BuildFailed if a schedule has none, since it would never be due.

    Args:
        location: where the schedule is set.
    """
    schedule = schedule.with_context(policy.schedule_context(anchor=now, zone=zone))
    for each in schedule.schedules if isinstance(schedule, Several) else (schedule,):
        if not each.has_instants or each.next_after(now) is not None:
            continue
        if isinstance(each, Once):
            reason = f"is in the past (it is now {format_moment(now, ZoneInfo(each.context.zone))})"
        else:
            reason = "is never due" + (" between not_before and until" if policy.until else "")
        raise BuildFailed(f"{location}: {each.source_form()} {reason}, so the task would never run")
    return list(islice(schedule.upcoming(now), 5))


def command_of(build: Build, builds: Path) -> tuple[str, ...]:
    """Return argv that runs the build of a Python task in the folder of builds.

    That folder may have moved since the build was created.
    """
    *interpreter, _, argument = build.command
    return (*interpreter, str(builds / build.hash / ENTRY), argument)


def load_build(folder: Path) -> Build:
    """Load the build in ``folder``. Raises BuildFailed if it is missing, or any of its files was modified."""
    build, artifacts = _read_manifest(folder)
    try:
        files = snapshot.hash_sources(folder / "src")
        modified = snapshot.changed_paths(build.files, files)
        modified += snapshot.changed_paths(artifacts, _artifacts(folder, files))
    except OSError as error:
        raise BuildFailed(f"the build {folder.name} cannot be read: {error}") from error
    if modified:
        raise BuildFailed(f"the build {folder.name} was modified: {', '.join(modified)}")
    return build


def read_manifest(folder: Path) -> Build:
    """Return the build that the manifest in ``folder`` describes. Raises BuildFailed if it cannot be read."""
    return _read_manifest(folder)[0]


def _read_manifest(folder: Path) -> tuple[Build, dict[str, str]]:
    """Return a build, and the hashes of its files other than the sources. Raises BuildFailed."""
    try:
        data = json.loads((folder / _MANIFEST).read_bytes())
        artifacts = dict(data["artifacts"])
        build = Build(
            hash=data["hash"],
            command=tuple(data["command"]),
            files=data["files"],
            schedule=from_dict(data["schedule"]),
            policy=Policy.from_dict(data["policy"]),
            import_seconds=data["import_seconds"],
            created_at=datetime.fromisoformat(data["created_at"]),
            execution=Execution.from_dict(data.get("execution", {})),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BuildFailed(f"the build {folder.name} cannot be read: {error}") from error
    return build, artifacts


def _artifacts(folder: Path, files: Collection[str]) -> dict[str, str]:
    """Return path → sha256 of everything in a build except its sources and its manifest, such as the bytecode."""
    paths = (Path(parent, name) for parent, _, names in os.walk(folder) for name in names)
    relative = {path.relative_to(folder).as_posix(): path for path in paths}
    others = relative.keys() - {f"src/{path}" for path in files} - {_MANIFEST}
    return {path: hashlib.sha256(snapshot.read_regular_file(relative[path])).hexdigest() for path in sorted(others)}


def _find_reusable(target: Path) -> Build | None:
    """Return the existing build and mark it as used; None if there is none, or if it is damaged."""
    try:
        existing = load_build(target)
    except BuildFailed:
        return None
    build_store.mark_used(target)
    return existing


def _publish(staged: Path, target: Path, build: Build, interpreter: str, entry: str, *, python: str) -> None:
    """Add the entry script, the start script and the manifest to the staged sources, and move the build into place.

    Args:
        entry: "" for a command task, which needs none.
        python: the interpreter that the start script uses.
    """
    modified = snapshot.changed_paths(build.files, snapshot.hash_sources(staged / "src"))
    if modified:
        hint = "builds are read-only; write to the working folder of the run instead"
        raise BuildFailed(f"importing the task modified its own files: {', '.join(modified)}", hint=hint)
    if entry:
        _write(staged / ENTRY, entry, 0o444)
    _write(staged / "task", _start_script(python), 0o555)
    manifest = _manifest(build, interpreter, _artifacts(staged, build.files))
    _write(staged / _MANIFEST, json.dumps(manifest, indent=2) + "\n", 0o444)
    if build_store.publish(staged, target):
        return
    try:
        load_build(target)  # another process may have published the same build
    except BuildFailed:
        build_store.discard(target)
        build_store.publish(staged, target)


def _write(path: Path, text: str, mode: int) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def _manifest(build: Build, interpreter: str, artifacts: Mapping[str, str]) -> dict[str, Any]:
    return {
        "format": MANIFEST_FORMAT,
        "hash": build.hash,
        "command": build.command,
        "interpreter": interpreter,
        "files": build.files,
        "artifacts": artifacts,
        "schedule": build.schedule.to_dict(),
        "policy": build.policy.to_dict(),
        "import_seconds": build.import_seconds,
        "created_at": build.created_at.isoformat(),
        "execution": build.execution.to_dict(),
    }


def _start_script(python: str) -> str:
    return f"""\
#!/bin/sh
# Runs this build manually: --run runs the task, --schedule shows when it is due.
exec {shlex.quote(python)} -I -B -X utf8 -m keiji_engine.builds.run_build "$0" "$@"
"""


_DESCRIBE = "import os, sys; print(sys.version, sys.platform, os.uname().machine)"


def _describe_interpreter(python: str) -> str:
    """Return path, version and platform of an interpreter. Raises BuildFailed if it cannot be started."""
    if python == sys.executable:
        return f"{python} {sys.version} {sys.platform} {os.uname().machine}"
    command = (python, "-I", "-S", "-c", _DESCRIBE)
    try:
        completed = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=True, text=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise BuildFailed(f"cannot start the interpreter {python}: {error}") from error
    return f"{python} {completed.stdout.strip()}"


async def _run_in_thread(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Call ``function`` in a thread. If cancelled, wait for the thread first, so that it does not outlive the build."""
    call = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(call)
    except asyncio.CancelledError:
        await asyncio.wait([call])
        raise

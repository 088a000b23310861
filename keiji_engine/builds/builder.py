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
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from zoneinfo import ZoneInfo

from keiji.errors import BuildFailed, KeijiError
from keiji.formats import format_moment
from keiji.policy import Policy
from keiji.records import Build
from keiji.schedule import Once, Several, from_dict
from keiji_engine.builds import build_store, snapshot
from keiji_engine.builds.environment import child_environment
from keiji_engine.builds.validate import PYTHON_OPTIONS, TIMEOUT, ValidationResult, validate

MANIFEST_FORMAT = 2
ENTRY = "entry.py"
_ENTRY = Path(__file__).with_name(ENTRY)
_MANIFEST = "manifest.json"
_REQUIRED_FILES = ("function.py", "schedule.py")
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
            timeout=timeout,
        )
    except OSError as error:
        where = error.filename or builds
        hint = "free some space; the previous build is unaffected" if error.errno == errno.ENOSPC else ""
        raise BuildFailed(f"the build cannot be written: {error.strerror or error}: {where}", hint=hint) from error


async def _build(
    source: Path,
    builds: Path,
    *,
    python: str,
    now: datetime,
    zone: str,
    inherited: Mapping[str, str],
    timeout: float,
) -> tuple[Build, list[datetime]]:
    try:
        environment = child_environment(source, inherited, {"KEIJI_TASK": source.name})
    except KeijiError as error:
        raise BuildFailed(str(error)) from error
    with build_store.staging_folder(builds) as staging:
        staged, scratch = staging / "build", staging / "scratch"
        for folder in (staged, scratch):
            folder.mkdir()
        files = await _run_in_thread(snapshot.copy_sources, source, staged / "src")
        for name in _REQUIRED_FILES:
            if name not in files:
                hint = f"a task needs {' and '.join(_REQUIRED_FILES)}"
                raise BuildFailed(f"{name}: the file is missing in {source}", hint=hint)
        interpreter = await _run_in_thread(_describe_interpreter, python)
        entry = _ENTRY.read_text(encoding="utf-8")
        target = builds / snapshot.build_hash(files, interpreter, entry)
        existing = await _run_in_thread(_find_reusable, target)
        result = await validate(
            python,
            (target if existing else staged) / "src",
            scratch=scratch,
            environment=environment,
            is_new=not existing,
            timeout=timeout,
        )
        upcoming = _upcoming(result, now, zone)
        built = Build(
            hash=target.name,
            command=(python, *PYTHON_OPTIONS, "-u", ENTRY, "--run"),
            files=files,
            schedule=result.schedule,
            policy=result.policy,
            import_seconds=result.import_seconds,
            created_at=existing.created_at if existing else now,
        )
        if not existing:
            await _run_in_thread(_publish, staged, target, built, interpreter, entry)
    return built, upcoming


def _upcoming(result: ValidationResult, now: datetime, zone: str) -> list[datetime]:
    """Return the next five instants. Raises BuildFailed if a schedule has none, since it would never be due."""
    schedule = result.schedule.with_context(result.policy.schedule_context(anchor=now, zone=zone))
    for each in schedule.schedules if isinstance(schedule, Several) else (schedule,):
        if not each.has_instants or each.next_after(now) is not None:
            continue
        location = f"schedule.py, line {result.line}" if result.line else "schedule.py"
        if isinstance(each, Once):
            reason = f"is in the past (it is now {format_moment(now, ZoneInfo(each.context.zone))})"
        else:
            reason = "is never due" + (" between not_before and until" if result.policy.until else "")
        raise BuildFailed(f"{location}: {each.source_form()} {reason}, so the task would never run")
    return list(islice(schedule.upcoming(now), 5))


def command_of(build: Build, builds: Path) -> tuple[str, ...]:
    """Return argv that runs a build in the folder of builds, wherever that folder was when the build was created."""
    *interpreter, _, argument = build.command
    return (*interpreter, str(builds / build.hash / ENTRY), argument)


def load_build(folder: Path) -> Build:
    """Load the build in ``folder``. Raises BuildFailed if it is missing, or any of its files was modified."""
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
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BuildFailed(f"the build {folder.name} cannot be read: {error}") from error
    try:
        files = snapshot.hash_sources(folder / "src")
        modified = snapshot.changed_paths(build.files, files)
        modified += snapshot.changed_paths(artifacts, _artifacts(folder, files))
    except OSError as error:
        raise BuildFailed(f"the build {folder.name} cannot be read: {error}") from error
    if modified:
        raise BuildFailed(f"the build {folder.name} was modified: {', '.join(modified)}")
    return build


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


def _publish(staged: Path, target: Path, build: Build, interpreter: str, entry: str) -> None:
    """Add the entry script, the start script and the manifest to the staged sources, and move the build into place."""
    modified = snapshot.changed_paths(build.files, snapshot.hash_sources(staged / "src"))
    if modified:
        hint = "builds are read-only; write to the working folder of the run instead"
        raise BuildFailed(f"importing the task modified its own files: {', '.join(modified)}", hint=hint)
    _write(staged / ENTRY, entry, 0o444)
    _write(staged / "task", _start_script(build.command[0]), 0o555)
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
    }


def _start_script(python: str) -> str:
    return f"""\
#!/bin/sh
# Runs this build manually: --run calls the function, --schedule shows when it is due.
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

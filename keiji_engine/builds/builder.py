"""From a task's folder to a build: copy aside, pass the gate, put into place.

Nothing that exists is changed before the last step, which is one rename: a build that fails, is cancelled or is killed
leaves everything as it was.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from zoneinfo import ZoneInfo

from keiji.errors import BuildFailed, KeijiError
from keiji.policy import Policy
from keiji.records import Build
from keiji.schedule import Once, from_dict
from keiji_engine.builds import build_store, snapshot, validate
from keiji_engine.builds.environment import child_environment

MANIFEST_FORMAT = 1
_ENTRY = Path(__file__).with_name("entry.py")
_NEEDED = ("function.py", "schedule.py")
_P = ParamSpec("_P")
_T = TypeVar("_T")


async def build(
    source: Path,
    builds: Path,
    *,
    python: str,
    now: datetime,
    zone: str = "UTC",
    inherited: Mapping[str, str] = os.environ,
    limit: float = validate.LIMIT,
) -> tuple[Build, list[datetime]]:
    """Make the build of the task in ``source`` and return it with its next five instants after ``now``.

    The same sources and interpreter give the same build, which is then used again; the schedule is evaluated anew
    every time, as it may depend on ``.env``.

    Args:
        builds: folder of all builds.
        python: absolute path of the interpreter; it has keiji installed.
        zone: in which the times of day of the schedule are meant.
        inherited: the environment of which a little is passed on.
        limit: seconds that examining the sources may take.

    Raises:
        BuildFailed: it cannot be built. The first line of the message has file, line and reason.
    """
    builds = Path(os.path.abspath(builds))
    try:
        environment = child_environment(source, inherited, {"KEIJI_TASK": source.name})
    except KeijiError as error:
        raise BuildFailed(str(error)) from error
    with build_store.draft(builds) as draft:
        work, scratch = draft / "build", draft / "scratch"
        for folder in (work, scratch):
            folder.mkdir()
        files = await _whole(snapshot.copy, source, work / "src")
        for name in _NEEDED:
            if name not in files:
                raise BuildFailed(f"{name}: there is no such file in {source}")
        interpreter = await _whole(interpreter_of, python)
        entry = _ENTRY.read_text(encoding="utf-8")
        final = builds / snapshot.identity(files, interpreter, entry)
        kept = await _whole(_reusable, final)
        verdict = await validate.examine(
            python,
            (final if kept else work) / "src",
            final=final / "src",
            scratch=scratch,
            environment=environment,
            is_new=not kept,
            limit=limit,
        )
        upcoming = _upcoming(verdict, now, zone)
        made = Build(
            hash=final.name,
            command=(python, "-I", "-B", "-u", "-X", "utf8", str(final / "entry.py"), "--run"),
            files=files,
            schedule=verdict.schedule,
            policy=verdict.policy,
            import_seconds=verdict.import_seconds,
            created_at=kept.created_at if kept else now,
        )
        if not kept:
            await _whole(_finish, work, final, made, interpreter, entry)
    return made, upcoming


def _upcoming(verdict: validate.Verdict, now: datetime, zone: str) -> list[datetime]:
    """Return the next five instants. Raises BuildFailed where there is not even one: that can only be a mistake."""
    schedule = verdict.schedule.with_context(verdict.policy.schedule_context(anchor=now, zone=zone))
    found = list(islice(schedule.upcoming(now), 5))
    if not found:
        place = f"schedule.py, line {verdict.line}" if verdict.line else "schedule.py"
        if isinstance(schedule, Once):
            why = f"is in the past (it is {now.astimezone(ZoneInfo(schedule.context.zone)):%Y-%m-%d %H:%M} now)"
        else:
            why = "is never due" + (" within not_before and until" if verdict.policy.until else "")
        raise BuildFailed(f"{place}: {schedule.source_form()} {why}, so the task would never run")
    return found


def load(folder: Path) -> Build:
    """Read back the build in ``folder``. Raises BuildFailed where there is none, or one that somebody changed."""
    try:
        data = json.loads((folder / "manifest.json").read_bytes())
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
    differing = snapshot.changed(build.files, snapshot.fingerprint(folder / "src"))
    missing = tuple(name for name in ("entry.py", "task") if not (folder / name).is_file())
    if differing or missing:
        raise BuildFailed(f"the build {folder.name} was changed: {', '.join(differing + missing)}")
    return build


def _reusable(final: Path) -> Build | None:
    """Return the build that is there already; None when there is none, or none that can be trusted."""
    try:
        found = load(final)
    except BuildFailed:
        return None
    build_store.touch(final)
    return found if found.command[-2] == str(final / "entry.py") else None


def _finish(work: Path, final: Path, build: Build, interpreter: str, entry: str) -> None:
    """Write what a build has beside its sources, and put it into place."""
    differing = snapshot.changed(build.files, snapshot.fingerprint(work / "src"))
    if differing:
        hint = "a build is read-only; write into the working folder of the run instead"
        raise BuildFailed(f"importing the task changed its own files: {', '.join(differing)}", hint=hint)
    _write(work / "entry.py", entry, 0o444)
    _write(work / "task", _launcher(build.command), 0o555)
    _write(work / "manifest.json", json.dumps(_manifest(build, interpreter), indent=2) + "\n", 0o444)
    if build_store.put_into_place(work, final):
        return
    try:
        load(final)  # somebody else was faster with the same
    except BuildFailed:
        build_store.discard(build_store.set_aside(final))
        build_store.put_into_place(work, final)


def _write(path: Path, text: str, mode: int) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def _manifest(build: Build, interpreter: str) -> dict[str, Any]:
    return {
        "format": MANIFEST_FORMAT,
        "hash": build.hash,
        "command": build.command,
        "interpreter": interpreter,
        "files": build.files,
        "schedule": build.schedule.to_dict(),
        "policy": build.policy.to_dict(),
        "import_seconds": build.import_seconds,
        "created_at": build.created_at.isoformat(),
    }


def _launcher(command: tuple[str, ...]) -> str:
    return f"""\
#!/bin/sh
# Runs this build by hand: --run calls the function, --schedule tells when it is due.
exec {shlex.join(command[:-1])} "$@"
"""


_DESCRIBE = "import os, sys; print(sys.version, sys.platform, os.uname().machine)"


def interpreter_of(python: str) -> str:
    """Return path, version and platform of an interpreter. Raises BuildFailed when it cannot be started."""
    if python == sys.executable:
        return f"{python} {sys.version} {sys.platform} {os.uname().machine}"
    command = (python, "-I", "-S", "-c", _DESCRIBE)
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=True, text=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise BuildFailed(f"the interpreter {python} cannot be started: {error}") from error
    return f"{python} {done.stdout.strip()}"


async def _whole(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Call ``function`` in a thread; when cancelled, end only after it did, so that nothing goes on behind our back."""
    call = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(call)
    except asyncio.CancelledError:
        await asyncio.wait([call])
        raise

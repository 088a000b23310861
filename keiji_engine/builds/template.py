"""Creation of a task folder from the template."""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

from keiji.errors import KeijiError, TaskExists
from keiji_engine.builds.environment import quote, read_env
from keiji_engine.builds.task_file import FILE as TASK_FILE
from keiji_engine.builds.task_file import format_task_file

_SCHEDULE = re.compile(r"^    return .+$", re.MULTILINE)  # the first match is the active schedule, others are comments
_DETAILS = ("NAME", "DESCRIPTION")  # they are in task.toml; earlier versions kept them in .env
SOURCES = ("function.py", "schedule.py", "main.py")


def create_task_folder(
    target: Path,
    name: str,
    description: str,
    *,
    schedule: str = "",
    tags: Sequence[str] = (),
    command: Sequence[str] = (),
    shell: str = "",
    cwd: str = "",
    policy: Mapping[str, Any] = MappingProxyType({}),
    force: bool = False,
) -> None:
    """Create the folder ``target`` of a new task.

    Args:
        schedule: for a Python task, the source code of its schedule, as returned by `Schedule.source_form`, or "" for
            that of the template; for a command task, the schedule as it was entered.
        command: argv of a command task; empty for others.
        shell: the line of a command task that a shell executes; "" for others.
        cwd: working folder of a command; "" for the task's own.
        policy: the values of the policy, as in task.toml.
        force: overwrite existing files of the template; other files, and other values in ``.env``, are kept.

    Raises:
        TaskExists: the folder exists and is not empty, and ``force`` is False.
        KeijiError: the folder cannot be written.
    """
    try:
        is_empty = not any(target.iterdir()) if target.is_dir() else not target.exists()
        if not is_empty and not force:
            raise TaskExists(f"{target} already exists", hint="--force replaces its sources with the template")
        other_values = read_env(target) if target.is_dir() else {}
        is_command = bool(command or shell)
        contents = {} if is_command else _template(schedule)
        contents[TASK_FILE] = format_task_file(
            name=name,
            description=description,
            tags=tags,
            command=command,
            shell=shell,
            schedule=schedule if is_command else "",
            cwd=cwd,
            policy=policy,
        )
        contents[".env"] = _env(other_values)
        target.parent.mkdir(parents=True, exist_ok=True)
        _write_files(target, contents)
    except OSError as error:
        raise KeijiError(f"{target} cannot be written: {error.strerror or error}") from error


def _template(schedule: str) -> dict[str, str]:
    """Return the sources of a Python task, by file."""
    template = files("task_template")
    contents = {file: template.joinpath(file).read_text(encoding="utf-8") for file in SOURCES}
    if schedule:
        contents["schedule.py"] = _SCHEDULE.sub(lambda _: f"    return {schedule}", contents["schedule.py"], count=1)
    return contents


def _env(other_values: dict[str, str]) -> str:
    text = files("task_template").joinpath(".env").read_text(encoding="utf-8")
    kept = {key: value for key, value in other_values.items() if key not in _DETAILS}
    return text + "".join(f"{key}={quote(value)}\n" for key, value in kept.items())


def _write_files(target: Path, contents: dict[str, str]) -> None:
    if target.exists():
        for file, text in contents.items():
            _write_atomically(target / file, text)
        return
    # The complete folder appears at once, so that the watcher never sees part of a task.
    temporary = target.with_name(f".{secrets.token_hex(8)}")
    temporary.mkdir()
    try:
        for file, text in contents.items():
            _write_atomically(temporary / file, text)
        temporary.rename(target)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _write_atomically(path: Path, text: str) -> None:
    temporary = path.with_name(f".{secrets.token_hex(8)}")
    try:
        temporary.touch(mode=0o600 if path.name == ".env" else 0o644)  # .env may contain secrets
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()

"""Creation of a task folder from the template."""

from __future__ import annotations

import re
import secrets
import shutil
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from keiji.errors import KeijiError, TaskExists
from keiji_engine.builds.environment import quote, read_env
from keiji_engine.builds.task_file import FILE as TASK_FILE
from keiji_engine.builds.task_file import format_task_file

_SCHEDULE = re.compile(r"^    return .+$", re.MULTILINE)  # the first match is the active schedule, others are comments
_DETAILS = ("NAME", "DESCRIPTION")  # they are in task.toml; earlier versions kept them in .env
SOURCES = ("function.py", "schedule.py", "main.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """What a new task consists of.

    Args:
        command: argv of a command task; () for others.
        shell: the line of a command task that a shell executes; "" for others.
        schedule: for a Python task, the source code of its schedule, as returned by `Schedule.source_form`, or "" for
            that of the template; for a command task, the schedule as it was entered.
        cwd: working folder of a command; "" for the task's own.
    """

    name: str
    description: str = ""
    tags: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    shell: str = ""
    schedule: str = ""
    cwd: str = ""

    @property
    def is_command(self) -> bool:
        return bool(self.command or self.shell)


def create_task_folder(target: Path, task: NewTask, *, force: bool = False) -> None:
    """Create the folder ``target`` of a new task.

    Args:
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
        target.parent.mkdir(parents=True, exist_ok=True)
        _write_files(target, _contents(task, other_values))
    except OSError as error:
        raise KeijiError(f"{target} cannot be written: {error.strerror or error}") from error


def _contents(task: NewTask, other_values: dict[str, str]) -> dict[str, str]:
    template = files("task_template")
    contents: dict[str, str] = {}
    if not task.is_command:
        contents = {file: template.joinpath(file).read_text(encoding="utf-8") for file in SOURCES}
        if task.schedule:
            replaced = _SCHEDULE.sub(lambda _: f"    return {task.schedule}", contents["schedule.py"], count=1)
            contents["schedule.py"] = replaced
    contents[TASK_FILE] = format_task_file(
        name=task.name,
        description=task.description,
        tags=task.tags,
        command=task.command,
        shell=task.shell,
        schedule=task.schedule if task.is_command else "",
        cwd=task.cwd,
    )
    return contents | {".env": _env(other_values)}


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

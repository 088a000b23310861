"""Creation of a task folder from the template."""

from __future__ import annotations

import re
import secrets
import shutil
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

from keiji.errors import KeijiError, TaskExists
from keiji_engine.builds.environment import quote, read_env

_SCHEDULE = re.compile(r"^    return .+$", re.MULTILINE)  # the first match is the active schedule, others are comments
SOURCES = ("function.py", "schedule.py", "main.py")


def create_task_folder(target: Path, name: str, description: str, *, schedule: str = "", force: bool = False) -> None:
    """Create the folder ``target`` of a new task.

    Args:
        schedule: source code of its schedule, as returned by `Schedule.source_form`; "" for that of the template.
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
        _write_files(target, _contents(name, description, schedule, other_values))
    except OSError as error:
        raise KeijiError(f"{target} cannot be written: {error.strerror or error}") from error


def _contents(name: str, description: str, schedule: str, other_values: dict[str, str]) -> dict[str, str]:
    template = files("task_template")
    contents = {file: template.joinpath(file).read_text(encoding="utf-8") for file in SOURCES}
    if schedule:
        contents["schedule.py"] = _SCHEDULE.sub(lambda _: f"    return {schedule}", contents["schedule.py"], count=1)
    return contents | {".env": _env(name, description, other_values)}


def _env(name: str, description: str, other_values: dict[str, str]) -> str:
    text = files("task_template").joinpath(".env").read_text(encoding="utf-8")
    own_values = {"NAME": name, "DESCRIPTION": description}
    lines = []
    for line in text.splitlines():
        key = line.partition("=")[0]
        lines.append(f"{key}={quote(own_values[key])}" if key in own_values else line)
    lines += [f"{key}={quote(value)}" for key, value in other_values.items() if key not in own_values]
    return "\n".join(lines) + "\n"


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

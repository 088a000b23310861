"""A new task: a folder made from the template."""

from __future__ import annotations

import re
import secrets
import shutil
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

from keiji.errors import KeijiError, TaskExists
from keiji_engine.builds.environment import quoted, read_env

_SCHEDULE = re.compile(r"^    return .+$", re.MULTILINE)  # what comes first in the template is what holds
SOURCES = ("function.py", "schedule.py", "main.py")


def create(target: Path, name: str, description: str, *, schedule: str = "", force: bool = False) -> None:
    """Make the folder ``target`` for a new task.

    Args:
        schedule: the source of its schedule, as `Schedule.source_form` returns it; "" for that of the template.
        force: replace the template's files where they are there; other files, and other values in ``.env``, stay.

    Raises:
        TaskExists: there is such a folder already, and no ``force``.
        KeijiError: it cannot be written.
    """
    try:
        is_empty = not any(target.iterdir()) if target.is_dir() else not target.exists()
        if not is_empty and not force:
            raise TaskExists(f"{target} is there already", hint="--force replaces its sources by new ones")
        others = read_env(target) if target.is_dir() else {}
        target.parent.mkdir(parents=True, exist_ok=True)
        _replace(target, _contents(name, description, schedule, others))
    except OSError as error:
        raise KeijiError(f"{target} cannot be written: {error.strerror or error}") from error


def _contents(name: str, description: str, schedule: str, others: dict[str, str]) -> dict[str, str]:
    template = files("task_template")
    contents = {file: template.joinpath(file).read_text(encoding="utf-8") for file in SOURCES}
    if schedule:
        contents["schedule.py"] = _SCHEDULE.sub(lambda _: f"    return {schedule}", contents["schedule.py"], count=1)
    return contents | {".env": _env(name, description, others)}


def _env(name: str, description: str, others: dict[str, str]) -> str:
    text = files("task_template").joinpath(".env").read_text(encoding="utf-8")
    known = {"NAME": name, "DESCRIPTION": description}
    lines = []
    for line in text.splitlines():
        key = line.partition("=")[0]
        lines.append(f"{key}={quoted(known[key])}" if key in known else line)
    lines += [f"{key}={quoted(value)}" for key, value in others.items() if key not in known]
    return "\n".join(lines) + "\n"


def _replace(target: Path, contents: dict[str, str]) -> None:
    if target.exists():
        for file, text in contents.items():
            _put(target / file, text)
        return
    # The whole folder appears at once, so that whoever watches never sees half a task.
    fresh = target.with_name(f".{secrets.token_hex(8)}")
    fresh.mkdir()
    try:
        for file, text in contents.items():
            _put(fresh / file, text)
        fresh.rename(target)
    except OSError:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def _put(path: Path, text: str) -> None:
    fresh = path.with_name(f".{secrets.token_hex(8)}")
    try:
        fresh.touch(mode=0o600 if path.name == ".env" else 0o644)  # .env is where secrets go
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
    finally:
        with suppress(FileNotFoundError):
            fresh.unlink()

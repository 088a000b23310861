"""Moves the files of a task that gets another name: its sources, logs, working folder, and the link to its build.

The database decides whether a task is renamed. A journal says what is being renamed until all files agree with that, so
that a rename which is interrupted at any point is completed or undone by the next engine or command.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path

from keiji.errors import KeijiError
from keiji.paths import Paths
from keiji_engine.builds.environment import parse_env, quote

CONFIGURATION = "task.toml"
_ENV_NAME = re.compile(r"^((?:export[ \t]+)?NAME[ \t]*=[ \t]*)[^\n]*$", re.MULTILINE)
_TOML_NAME = re.compile(r"^([ \t]*name[ \t]*=[ \t]*)[^\n]*$", re.MULTILINE)
_TOML_TABLE = re.compile(r"^[ \t]*\[", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Rename:
    """The names and slugs of a task before and after.

    Args:
        task_id: `Task.task_id`, which stays.
    """

    task_id: str
    old_name: str
    old_slug: str
    new_name: str
    new_slug: str


def obstacle(paths: Paths, rename: Rename) -> Path | None:
    """Return a file or folder that is where one of the task's would go; None if there is none."""
    if rename.new_slug == rename.old_slug:
        return None
    targets = (path for _, path in _folders(paths, rename))
    return next((path for path in targets if os.path.lexists(path)), None)


def begin(paths: Paths, rename: Rename) -> None:
    """Write the journal. Raises OSError."""
    journal = _journal(paths)
    temporary = journal.with_name(f".{journal.name}")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(asdict(rename), file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(journal)
    _sync(journal.parent)


def pending(paths: Paths) -> Rename | None:
    """Return the rename in the journal; None if there is none."""
    try:
        return Rename(**json.loads(_journal(paths).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def end(paths: Paths) -> None:
    """Remove the journal, once the files agree with the database."""
    _journal(paths).unlink(missing_ok=True)


def move(paths: Paths, rename: Rename) -> None:
    """Move what is still at the old place, and change the name in the sources. It may be repeated. Raises OSError."""
    _move(paths, rename, replaces_any_name=True)


def move_back(paths: Paths, rename: Rename) -> None:
    """Undo `move`. Raises OSError."""
    back = Rename(rename.task_id, rename.new_name, rename.new_slug, rename.old_name, rename.old_slug)
    _move(paths, back, replaces_any_name=False)


def _move(paths: Paths, rename: Rename, *, replaces_any_name: bool) -> None:
    if rename.new_slug != rename.old_slug:
        for source, target in _folders(paths, rename):
            if os.path.lexists(source) and not os.path.lexists(target):
                source.rename(target)
        _rename_logs(paths.task_log(rename.new_slug).parent, rename)
        for folder in {target.parent for _, target in _folders(paths, rename)}:
            if folder.is_dir():
                _sync(folder)
    source = paths.source(rename.new_slug)
    if source.is_dir() and (replaces_any_name or _name_in(source) == rename.old_name):
        _change_name(source, rename)


def configuration_digest(paths: Paths, slug: str) -> str | None:
    """Return the digest of a task's task.toml, as `hash_sources` has it; None if there is none."""
    with contextlib.suppress(OSError):
        path = paths.source(slug) / CONFIGURATION
        is_executable = bool(path.stat().st_mode & stat.S_IXUSR)
        return hashlib.sha256(path.read_bytes()).hexdigest() + ("+x" if is_executable else "")
    return None


def _folders(paths: Paths, rename: Rename) -> list[tuple[Path, Path]]:
    """Return what moves, and where to."""
    old, new = rename.old_slug, rename.new_slug
    return [
        (paths.task_log(old).parent, paths.task_log(new).parent),
        (paths.work / old, paths.work / new),
        (paths.link(old), paths.link(new)),
        (paths.source(old), paths.source(new)),
    ]


def _rename_logs(folder: Path, rename: Rename) -> None:
    """Rename the log and its rotated parts; their positions stay."""
    old, new = f"{rename.old_slug}.log", f"{rename.new_slug}.log"
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        rest = path.name.removeprefix(old)
        if rest != path.name and rest[:1] in {"", "."}:
            path.rename(folder / f"{new}{rest}")


def _name_in(source: Path) -> str | None:
    """Return the name in the sources; None if they have none, or it cannot be read."""
    try:
        if (source / CONFIGURATION).is_file():
            name = tomllib.loads((source / CONFIGURATION).read_text(encoding="utf-8")).get("name")
            return name if isinstance(name, str) else None
        return parse_env((source / ".env").read_text(encoding="utf-8")).get("NAME")
    except (OSError, ValueError, KeijiError):
        return None


def _change_name(source: Path, rename: Rename) -> None:
    """Change the name in task.toml, or in ``.env`` if there is no task.toml."""
    configuration = source / CONFIGURATION
    if configuration.is_file():
        text = configuration.read_text(encoding="utf-8")
        table = _TOML_TABLE.search(text)
        top, rest = (text[: table.start()], text[table.start() :]) if table is not None else (text, "")
        _write(configuration, _with_name(top, _TOML_NAME, json.dumps(rename.new_name, ensure_ascii=False)) + rest)
        return
    env = source / ".env"
    text = env.read_text(encoding="utf-8") if env.is_file() else ""
    if _ENV_NAME.search(text) is not None or rename.new_name != rename.new_slug:
        _write(env, _with_name(text, _ENV_NAME, quote(rename.new_name), "NAME="))


def _with_name(text: str, pattern: re.Pattern[str], value: str, key: str = "name = ") -> str:
    if pattern.search(text) is not None:
        return pattern.sub(lambda match: f"{match[1]}{value}", text, count=1)
    return f"{key}{value}\n{text}"


def _write(path: Path, text: str) -> None:
    """Replace a file, with its permissions; a symbolic link stays one."""
    path = path.resolve()
    with contextlib.suppress(FileNotFoundError):
        if path.read_text(encoding="utf-8") == text:
            return
    temporary = path.with_name(f".{path.name}.renamed")
    temporary.touch(mode=0o600)
    temporary.write_text(text, encoding="utf-8")
    if path.exists():
        temporary.chmod(path.stat().st_mode & 0o7777)
    temporary.replace(path)


def _sync(folder: Path) -> None:
    """Write the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _journal(paths: Paths) -> Path:
    return paths.data / "rename.json"

"""Activation of a build: the symbolic link to the active build of a task.

The links are in ``exec/tasks``. ``exec/workspace`` links to the workspace, so that a build that is started through the
link of a task finds the ``.env`` of that task. All links within the data folder are relative, so that it can be moved.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from keiji.records import Build

_WORKSPACE = "workspace"


def activate(link: Path, build: Build, builds: Path, workspace: Path) -> None:
    """Point ``link`` to the start script of ``build``, atomically: a reader sees either the old or the new target.

    Args:
        builds: the folder of builds.
        workspace: the folder that contains ``tasks/``.
    """
    link.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    data = link.parent.parent.parent
    _link(link.parent.with_name(_WORKSPACE), _relative(workspace, link.parent.parent, data))
    _link(link, _relative(builds / build.hash / "task", link.parent, data))


def source_of(link: Path) -> Path | None:
    """Return the source folder of the task whose link this is; None if it is not the link of a task."""
    if not link.is_symlink():
        return None
    return link.parent.with_name(_WORKSPACE) / "tasks" / link.name


def _relative(target: Path, folder: Path, data: Path) -> str:
    """Return the target of a link in ``folder``: relative if it is within the data folder."""
    return os.path.relpath(target, folder) if target.is_relative_to(data) else str(target)


def _link(link: Path, target: str) -> None:
    if link.is_symlink() and str(link.readlink()) == target:
        return
    temporary = link.with_name(f".{secrets.token_hex(8)}")
    temporary.symlink_to(target)
    try:
        temporary.replace(link)
    except OSError:
        temporary.unlink()
        raise

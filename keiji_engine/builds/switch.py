"""Activation of a build: the symbolic link to the active build of a task."""

from __future__ import annotations

import secrets
from pathlib import Path

from keiji.records import Build


def activate(link: Path, build: Build) -> None:
    """Point ``link`` to the start script of ``build``, atomically: a reader sees either the old or the new target."""
    link.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = link.with_name(f".{secrets.token_hex(8)}")
    temporary.symlink_to(Path(build.command[-2]).with_name("task"))
    try:
        temporary.replace(link)
    except OSError:
        temporary.unlink()
        raise

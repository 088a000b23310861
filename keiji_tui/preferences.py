"""What the terminal remembers of a person from one time to the next: the theme. A small file in the data folder."""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from pathlib import Path

FILE = "terminal.json"


def theme(folder: Path) -> str:
    """Return the theme that was chosen last; "" where none was, or where the file is broken."""
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return ""
    name = found.get("theme") if isinstance(found, dict) else None
    return name if isinstance(name, str) else ""


def remember_theme(folder: Path, name: str) -> None:
    """Write down which theme was chosen. Raises OSError where that is not possible."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.geteuid():
        return  # for example root, who controls the engine of another user, and must not leave files there
    fresh = folder / f".{secrets.token_hex(8)}"
    try:
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps({"theme": name}) + "\n", encoding="utf-8")
        fresh.replace(folder / FILE)  # whole or not at all: another terminal may read it just now
    finally:
        with suppress(FileNotFoundError):
            fresh.unlink()

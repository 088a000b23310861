"""Preferences that persist between sessions: the theme, in a small file in the data folder."""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from pathlib import Path

FILE = "terminal.json"


def load_theme(folder: Path) -> str:
    """Return the name of the saved theme; "" if none was saved or the file is invalid."""
    try:
        preferences = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return ""
    name = preferences.get("theme") if isinstance(preferences, dict) else None
    return name if isinstance(name, str) else ""


def save_theme(folder: Path, name: str) -> None:
    """Save the theme. Raises OSError if the file cannot be written; the previous one is then unchanged."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.geteuid():
        return  # root, for example, can control another user's engine but must not leave files in that user's folder
    new = folder / f".{secrets.token_hex(8)}"
    try:
        new.touch(mode=0o600)
        new.write_text(json.dumps({"theme": name}) + "\n", encoding="utf-8")
        new.replace(folder / FILE)  # atomically: another terminal may be reading it
    finally:
        with suppress(FileNotFoundError):
            new.unlink()

"""Removing folders with read-only contents, such as builds."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path


def remove(folder: Path, *, ignore_errors: bool = False) -> None:
    """Remove a folder and its contents, even if read-only. Symbolic links in it are not followed.

    Raises:
        OSError: something cannot be removed, unless ``ignore_errors``: then everything else is removed.
    """
    for subfolder, _, _ in os.walk(folder):
        with suppress(OSError):
            os.chmod(subfolder, 0o700)
    shutil.rmtree(folder, ignore_errors=ignore_errors)

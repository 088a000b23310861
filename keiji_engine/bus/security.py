"""Who a client is."""

from __future__ import annotations

import os
import pwd


def current_user() -> str:
    """Return the name of the user whose process this is; its number if it has no name."""
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)

"""How hypothesis works here: the same examples in every run, and no complaint about a machine that is busy."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("keiji", deadline=None, derandomize=True, database=None)
settings.load_profile("keiji")

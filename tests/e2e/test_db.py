"""``keiji db``: a database that another installation owns."""

from __future__ import annotations

import shutil
from pathlib import Path

from e2e.shell import Shell


def test_a_copied_database_is_refused_until_it_is_taken_over(keiji: Shell, tmp_path: Path) -> None:
    keiji("task create ping")
    copy = Shell(tmp_path / "copy")
    copy("init")
    shutil.copytree(keiji.paths.database.parent, copy.paths.database.parent, dirs_exist_ok=True)
    refusal = copy("task create other", code=1)
    assert str(keiji.paths.data) in refusal
    assert "keiji db take-over" in refusal
    assert "--yes" in copy("db take-over", code=2)
    copy("task create other", code=1)
    assert str(keiji.paths.data) in copy("db take-over --yes")
    copy("task create other")
    assert "other" in copy("list")
    assert "already" in copy("db take-over --yes")
    assert "ping" in keiji("list"), "the original belongs to its installation still"

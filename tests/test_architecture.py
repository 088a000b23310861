"""Who may import whom, and what a start costs in modules."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = ("textual", "rich", "sqlalchemy", "alembic", "zmq", "msgspec", "click", "asyncio", "watchfiles", "psycopg")


def loaded_by(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded after ``code``."""
    printed = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sorted(sys.modules), sep='\\n')"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return {name.partition(".")[0] for name in printed.split()}


def test_the_import_rules_hold() -> None:
    checked = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def test_a_task_that_imports_keiji_loads_the_standard_library_only() -> None:
    before, after = loaded_by(""), loaded_by("import keiji")
    assert after - before - set(sys.stdlib_module_names) == {"keiji"}


def run(*arguments: str) -> str:
    return f"from keiji_cli.main import run; run({list(arguments)!r})"


@pytest.mark.parametrize(
    ("code", "allowed"),
    [
        (run("--help"), {"click"}),
        (run("task", "--help"), {"click"}),
        ("import keiji_engine.runner.launcher", set()),
        ("import keiji_engine.bus.protocol", {"msgspec"}),
        ("import keiji_engine.bus.client", {"msgspec", "zmq", "asyncio"}),
        ("import keiji_engine.engine", {"msgspec", "zmq", "asyncio", "sqlalchemy", "watchfiles"}),
    ],
)
def test_each_program_loads_no_more_than_it_needs(code: str, allowed: set[str]) -> None:
    assert loaded_by(code) & set(HEAVY) <= allowed


def test_asking_a_task_loads_neither_the_terminal_nor_the_migrations(tmp_path: Path) -> None:
    code = f"import os; os.environ['KEIJI_ROOT'] = {str(tmp_path)!r}\n"
    loaded_by(code + run("init"))
    loaded = loaded_by(code + run("task", "get"))
    assert "sqlalchemy" in loaded, "it was not asked of the database"
    assert loaded & {"textual", "rich", "alembic", "watchfiles", "psycopg"} == set()

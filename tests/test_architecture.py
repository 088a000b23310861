"""The import rules, and which modules each program loads."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from installation import Installation

ROOT = Path(__file__).parent.parent
HEAVY = (
    "textual", "rich", "sqlalchemy", "alembic", "zmq", "msgspec", "click", "asyncio", "watchfiles", "psycopg",
    "platformdirs",
)  # fmt: skip
LARGE = {"logging", "threading", "subprocess"}  # of the standard library


def loaded_by(code: str, *options: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter, started with ``options``, has loaded after ``code``."""
    printed = subprocess.run(
        [sys.executable, *options, "-c", f"{code}\nimport sys; print(*sorted(sys.modules), sep='\\n')"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return {name.partition(".")[0] for name in printed.split()}


def test_import_rules_are_kept() -> None:
    checked = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def test_importing_keiji_in_a_task_loads_only_the_standard_library() -> None:
    before, after = loaded_by(""), loaded_by("import keiji")
    assert after - before - set(sys.stdlib_module_names) == {"keiji"}


def command(arguments: Sequence[str]) -> str:
    """Return code that runs a command of ``keiji``."""
    return f"from keiji_cli.main import run; assert run({list(arguments)!r}) == 0"


@pytest.mark.parametrize(
    ("code", "allowed"),
    [
        ("\n".join(map(command, (["--help"], ["task", "--help"], ["--version"]))), {"click"}),
        ("import keiji_engine.scheduler.planner", set()),
        ("import keiji_engine.bus.protocol", {"msgspec"}),
        ("import keiji_engine.bus.client", {"msgspec", "zmq", "asyncio"}),
        ("import keiji_engine.engine", {"msgspec", "asyncio", "sqlalchemy", "watchfiles"}),
    ],
)
def test_program_loads_only_the_heavy_modules_it_needs(code: str, allowed: set[str]) -> None:
    assert loaded_by(code) & set(HEAVY) <= allowed


def test_launcher_loads_no_heavy_module() -> None:
    code = f"import sys; sys.path.append({str(ROOT)!r}); import keiji_engine.runner.launcher\n"
    code += "assert 'keiji_engine.runner.shim' in sys.modules, 'each run would load it'"
    loaded = loaded_by(code, "-I", "-S")
    assert "keiji_engine" in loaded
    assert loaded.isdisjoint(LARGE.union(HEAVY))


def test_query_without_an_engine_loads_neither_the_terminal_nor_the_migrations(installation: Installation) -> None:
    code = f"import os; os.environ['KEIJI_ROOT'] = {str(installation.paths.data)!r}\n"
    loaded = loaded_by(code + command(["task", "get"]))
    assert "sqlalchemy" in loaded, "it did not read the database"
    assert loaded & {"textual", "rich", "alembic", "watchfiles", "psycopg"} == set()

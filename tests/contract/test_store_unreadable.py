"""A row that cannot be read concerns only itself: it is shown as broken, or left out with an entry in the log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing

import pytest
import sqlalchemy as sa
from databases import SharedDatabase
from ledger_samples import NOW, at, built_task, claim_of
from repositories import Repositories

from keiji.errors import StorageError
from keiji.reasons import Code, render
from keiji_engine.storage.database import Database

Damage = Callable[[str], None]


@pytest.fixture
def damage(shared_database: SharedDatabase) -> Damage:
    """Executes a statement, as another program or a defect could."""

    def execute(statement: str) -> None:
        database = Database.open(shared_database.settings, shared_database.paths)
        with closing(database), database.write() as connection:
            connection.execute(sa.text(statement))

    return execute


@pytest.fixture
def two(store: Repositories) -> Repositories:
    for name in ("sound", "broken"):
        built_task(store, name)
        store.runs.claim([claim_of(name, 10)], at(10))
    return store


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("""policy = '{"tz":"Mars/Base"}'""", "Mars/Base"),
        ("policy = 'not JSON'", "policy: 'not JSON' is no valid value"),
        ("policy = '[]'", "policy"),
        ("""schedule = '{"type":"moon"}'""", "schedule"),
        ("schedule = '7'", "schedule"),
    ],
)
def test_a_task_that_cannot_be_read_is_broken_and_is_repaired_by_a_build(
    two: Repositories, damage: Damage, change: str, named: str
) -> None:
    damage(f"UPDATE tasks SET {change} WHERE slug = 'broken'".replace(":", r"\:"))
    broken, sound = two.tasks.all()
    assert broken.broken is not None
    assert broken.broken.code == Code.UNREADABLE
    assert named in render(broken.broken)
    assert (broken.schedule, broken.next_at, sound.broken) == (None, None, None)
    assert sound.next_at is not None
    build = two.tasks.active_builds()["sound"]
    built = two.tasks.activate("broken", build, build.schedule, at(20), now=NOW)
    assert built.broken is None
    assert built.schedule is not None


def test_a_build_that_cannot_be_read_is_left_out(
    two: Repositories, damage: Damage, caplog: pytest.LogCaptureFixture
) -> None:
    damage("UPDATE builds SET policy = '{' WHERE task_id = (SELECT id FROM tasks WHERE slug = 'broken')")
    assert set(two.tasks.active_builds()) == {"sound"}
    assert "the record of the build" in caplog.text


def test_a_run_that_cannot_be_read_is_left_out(
    two: Repositories, damage: Damage, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    caplog.set_level(logging.ERROR)
    [run] = two.runs.latest("broken", 5)
    damage(f"""UPDATE runs SET "trigger" = 'moon' WHERE run_id = '{run.run_id}'""")
    if kind == "sqlite":
        damage(f"UPDATE runs SET created_at = 'yesterday' WHERE run_id = '{run.run_id}'")
    assert [found.task for found in two.runs.open()] == ["sound"]
    assert two.runs.latest("broken", 5) == []
    assert f"the record of the run {run.run_id} cannot be read" in caplog.text
    with pytest.raises(StorageError, match=f"run {run.run_id} cannot be read"):
        two.runs.get(run.run_id)


def test_reasons_pauses_and_directives_that_cannot_be_read_do_no_harm(two: Repositories, damage: Damage) -> None:
    damage("UPDATE tasks SET error = '{', is_error = true, pause = '{}' WHERE slug = 'broken'")
    broken, sound = two.tasks.all()
    assert render(broken.error) == "{"
    assert broken.pause is not None  # a pause that cannot be read is still a pause
    assert sound.pause is None
    two.directives.insert("d1", "run", "ping", "test", NOW, options={"restart": True})
    damage("UPDATE directives SET options = '[1' WHERE id = 'd1'")
    [directive] = two.directives.latest(5)
    assert directive.options == {}

"""Databases at the heads of earlier versions: they are altered, and their rows are read.

Revision 0003 is the last one before the migrations became one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from ledger_samples import EVERY_TEN, a_build, at, claim_of
from repositories import Repositories, assert_schema_is_current

from keiji.paths import Paths
from keiji.policy import Policy
from keiji.reasons import text_reason
from keiji.records import Pause
from keiji.settings import Settings
from keiji.states import RunState, Trigger
from keiji_engine.storage import schema
from keiji_engine.storage.rows import StoredDirective
from keiji_engine.storage.store import Store

# The types that differ: an id that is never reused, a moment, bytes, and a number.
TYPES = {
    "sqlite": {
        "id": "INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT",
        "moment": "VARCHAR(27)",
        "bytes": "BLOB",
        "double": "DOUBLE",
    },
    "postgresql": {
        "id": "SERIAL NOT NULL PRIMARY KEY",
        "moment": "TIMESTAMP WITH TIME ZONE",
        "bytes": "BYTEA",
        "double": "DOUBLE PRECISION",
    },
}
SCHEMA_0003 = """
CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO alembic_version VALUES ('0003');
CREATE TABLE tasks (
    id {id}, task_id VARCHAR(36) NOT NULL, name TEXT NOT NULL, slug TEXT NOT NULL, description TEXT NOT NULL,
    schedule TEXT, policy TEXT NOT NULL, build VARCHAR(64), next_at {moment}, last_at {moment},
    is_disabled BOOLEAN NOT NULL, is_error BOOLEAN NOT NULL, error_text TEXT NOT NULL, created_at {moment} NOT NULL,
    paused TEXT, failures INTEGER DEFAULT '0' NOT NULL, held_at {moment},
    UNIQUE (task_id), UNIQUE (name), UNIQUE (slug)
);
CREATE TABLE builds (
    task_id INTEGER NOT NULL, hash VARCHAR(64) NOT NULL, command TEXT NOT NULL, files TEXT NOT NULL,
    schedule TEXT NOT NULL, policy TEXT NOT NULL, import_seconds {double} NOT NULL, created_at {moment} NOT NULL,
    activated_at {moment} NOT NULL,
    PRIMARY KEY (task_id, hash), FOREIGN KEY(task_id) REFERENCES tasks (id) ON DELETE CASCADE
);
CREATE TABLE runs (
    run_id VARCHAR(32) NOT NULL, task_id INTEGER NOT NULL, trigger VARCHAR(16) NOT NULL, state VARCHAR(16) NOT NULL,
    created_at {moment} NOT NULL, scheduled_for {moment}, due_at {moment}, started_at {moment}, finished_at {moment},
    reason TEXT NOT NULL, exit_code INTEGER, signal INTEGER, attempt INTEGER NOT NULL, cpu_seconds {double},
    peak_memory_bytes BIGINT, log_start BIGINT, log_end BIGINT, build VARCHAR(64), retry_of VARCHAR(32),
    count INTEGER DEFAULT '1' NOT NULL, scheduled_until {moment},
    PRIMARY KEY (run_id), UNIQUE (task_id, scheduled_for, attempt),
    FOREIGN KEY(task_id) REFERENCES tasks (id) ON DELETE CASCADE, UNIQUE (retry_of)
);
CREATE INDEX runs_by_creation ON runs (task_id, created_at, run_id);
CREATE INDEX runs_by_end ON runs (task_id, finished_at, run_id);
CREATE INDEX runs_open ON runs (run_id) WHERE state IN ('queued', 'running', 'starting');
CREATE TABLE directives (
    id TEXT NOT NULL, verb TEXT NOT NULL, target TEXT NOT NULL, sender TEXT NOT NULL, stage VARCHAR(16) NOT NULL,
    reply {bytes} NOT NULL, received_at {moment} NOT NULL, settled_at {moment}, options TEXT,
    PRIMARY KEY (id)
);
CREATE TABLE marks (name VARCHAR(32) NOT NULL, value TEXT NOT NULL, PRIMARY KEY (name));
"""

T0, T10, T11, T20 = (f"2026-11-23T07:00:{second}.123456Z" for second in ("00", "10", "11", "20"))
SCHEDULE = '{"type":"HMS","interval":10,"units":"seconds","place":{"anchor":"2026-11-23T07:00:00.123456+00:00"}}'
POLICY = '{"timeout":30.0,"retry":{"tries":3,"delay":1.0,"backoff":2.0}}'
PAUSED = '{"since":"2026-11-23T07:00:00.123456+00:00","reason":"moving","by":"keiji"}'
BUILD = "a" * 32
COMMAND = '["/opt/python","main.py","--run"]'
FILES = '{"function.py":"' + "1f" * 32 + '","sub folder/\\u00fc.sh":"' + "2e" * 32 + '+x"}'
ERROR = 'exit code 3: ValueError: "naïve"'
ROWS: tuple[tuple[str, tuple[Any, ...]], ...] = (
    (
        "INSERT INTO tasks (task_id, name, slug, description, schedule, policy, build, next_at, last_at, is_disabled, "
        "is_error, error_text, created_at, paused, failures) VALUES ",
        ("uuid-1", "ping", "ping", "it pings", SCHEDULE, POLICY, BUILD, T20, T10, False, True, ERROR, T0, PAUSED, 1),
    ),
    (
        "INSERT INTO tasks (task_id, name, slug, description, policy, is_disabled, is_error, error_text, created_at) "
        "VALUES ",
        ("uuid-2", "new", "new", "", "{}", False, False, "", T0),
    ),
    ("INSERT INTO builds VALUES ", (1, BUILD, COMMAND, FILES, SCHEDULE, POLICY, 0.125, T0, T0)),
    (
        "INSERT INTO runs (run_id, task_id, trigger, state, created_at, scheduled_for, started_at, finished_at, "
        "reason, exit_code, attempt, build) VALUES ",
        ("0" * 25 + "1", 1, "schedule", "failed", T10, T10, T10, T11, ERROR, 3, 1, BUILD),
    ),
    (
        "INSERT INTO runs (run_id, task_id, trigger, state, created_at, due_at, reason, attempt, build) VALUES ",
        ("0" * 25 + "2", 1, "manual", "queued", T11, T11, "waiting for a slot", 1, BUILD),
    ),
    (
        "INSERT INTO directives (id, verb, target, sender, stage, reply, received_at, settled_at, options) VALUES ",
        ("d1", "build", "ping", "keiji", "done", b"\x00{}", T0, T11, '{"restart":true}'),
    ),
    ("INSERT INTO marks VALUES ", ("pause", PAUSED)),
)
PAUSE = Pause(since=at(0), reason="moving", by="keiji")


@pytest.fixture(params=["0003", "2026.11.2"])
def former(request: pytest.FixtureRequest, kind: str, empty: Settings, paths: Paths) -> Settings:
    """Settings that name a database at a former head, with rows."""
    statements = SCHEMA_0003.format_map(TYPES[kind])
    if kind == "sqlite":
        paths.database.parent.mkdir(parents=True)
        with sqlite3.connect(paths.database) as connection:
            connection.executescript(statements)
            for statement, values in ROWS:
                connection.execute(f"{statement} ({', '.join('?' * len(values))})", values)
        connection.close()
        url = f"sqlite:///{paths.database}"
    else:
        with psycopg.connect(empty.db_url) as session:
            session.execute(statements.encode())
            for statement, values in ROWS:
                session.execute(f"{statement} ({', '.join(['%s'] * len(values))})".encode(), values)
        url = empty.db_url.replace("postgresql:", "postgresql+psycopg:")
    if request.param != schema.FORMER_HEAD:
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            schema.migrate(connection, request.param)
        engine.dispose()
    return empty


@pytest.fixture
def store(former: Settings, paths: Paths) -> Iterator[Repositories]:
    store = Repositories(Store.open(former, paths))
    yield store
    store.close()


def test_a_database_at_the_former_head_gets_the_tables_of_the_code(
    former: Settings, empty: Settings, paths: Paths
) -> None:
    for _ in range(2):
        assert_schema_is_current(former, paths)


def test_tasks_builds_and_the_pause_of_the_former_head_are_read(store: Repositories) -> None:
    new, ping = store.tasks.all()
    assert (ping.id, ping.task_id, ping.slug, ping.description) == (1, "uuid-1", "ping", "it pings")
    assert (ping.schedule, ping.policy) == (EVERY_TEN, a_build().policy)
    assert (ping.build, ping.next_at, ping.last_at) == (BUILD, at(20), at(10))
    assert (ping.is_error, ping.error, ping.failures, ping.held_at) == (True, text_reason(ERROR), 1, None)
    assert ping.pause == PAUSE
    assert (new.slug, new.schedule, new.policy, new.build) == ("new", None, Policy(), None)
    assert (new.is_error, new.error, new.pause, new.failures) == (False, None, None, 0)
    assert store.tasks.active_builds() == {"ping": a_build()}
    assert store.system.pause() == PAUSE


def test_plain_text_reasons_of_the_former_head_become_text_reasons(store: Repositories) -> None:
    queued, failed = store.runs.latest("ping", 5)
    assert (failed.state, failed.trigger, failed.exit_code) == (RunState.FAILED, Trigger.SCHEDULE, 3)
    assert (failed.scheduled_for, failed.finished_at, failed.count) == (at(10), at(11), 1)
    assert failed.reason == text_reason(ERROR)
    assert (queued.state, queued.due_at, queued.reason) == (RunState.QUEUED, at(11), text_reason("waiting for a slot"))
    assert store.runs.open() == [queued]
    assert store.runs.recent(5)["ping"] == [failed]


def test_runs_of_the_former_head_are_in_the_series_of_the_schedule(store: Repositories) -> None:
    assert [(run.series, run.params, run.overrides) for run in store.runs.latest("ping", 5)] == [(0, {}, None)] * 2
    # The failed run has this instant: it is not claimed again.
    assert store.runs.claim([claim_of("ping", 10)], at(20)) == []
    store.tasks.delete("ping")  # with its runs, which refer to it
    assert store.runs.open() == []


def test_directives_of_the_former_head_are_read(store: Repositories) -> None:
    assert store.directives.latest(5) == [
        StoredDirective("d1", "build", "ping", "keiji", "done", b"\x00{}", at(0), at(11), {"restart": True}, "", "")
    ]


def test_a_database_of_the_former_head_is_written_as_a_new_one(store: Repositories) -> None:
    assert store.tasks.resolve("ping").error is None
    assert store.tasks.set_pause("ping", None).pause is None
    store.system.set_pause(None)
    assert [run.scheduled_for for run in store.runs.claim([claim_of("ping", 20)], at(20))] == [at(20)]
    created = store.tasks.create("third", "third", "", at(0))
    assert created.id == 3
    assert store.directives.insert("d2", "run", "ping", "", at(20), user="root") is None
    store.directives.complete("d2", "done", b"", at(21))
    assert [stored.completed_at for stored in store.directives.latest(5)] == [at(21), at(11)]


def test_a_migration_of_the_former_head_that_fails_changes_nothing(kind: str, former: Settings, paths: Paths) -> None:
    def fail(connection: sa.Connection, cursor: object, statement: str, *rest: object) -> None:
        if "CREATE TABLE backfills" in statement:
            raise sa.exc.OperationalError(statement, None, Exception("the disk is full"))

    sa.event.listen(sa.Engine, "before_cursor_execute", fail)
    try:
        with pytest.raises(Exception, match="the disk is full"):
            Store.open(former, paths)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", fail)
    store = Repositories(Store.open(former, paths))
    assert [task.slug for task in store.tasks.all()] == ["new", "ping"]
    store.close()

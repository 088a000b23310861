"""Transactions: operations that are committed together, batches, and what becomes of each group if something fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
from ledger_samples import EVERY_TEN, NOW, a_build, at, built_task, claim_of
from repositories import Repositories

from keiji.errors import StorageError, TaskExists, TaskNotFound
from keiji.records import Pause
from keiji_engine.storage.changes import Changes
from keiji_engine.storage.store import OutcomeUnknown
from keiji_engine.storage.transactions import Operation, Transaction


def create(slug: str) -> Operation:
    return lambda transaction: transaction.tasks.create(slug, slug, "", NOW)


def violate_a_constraint(transaction: Transaction) -> None:
    """Execute a statement that the database rejects."""
    transaction.tasks.update_details("ping", name="ping", description=None)  # type: ignore[arg-type]


def slugs(store: Repositories) -> list[str]:
    return [task.slug for task in store.tasks.all()]


def test_operations_take_effect_together_and_see_each_other(store: Repositories) -> None:
    changes = store.write(
        create("ping"),
        lambda transaction: transaction.tasks.activate("ping", a_build(), EVERY_TEN, at(10), now=NOW),
        lambda transaction: transaction.runs.claim([claim_of("ping", 10)], at(10)),
        lambda transaction: transaction.system.set_pause(Pause(since=NOW)),
    )
    assert changes.tasks == {"ping": store.tasks.get("ping")}
    assert changes.builds == store.tasks.active_builds() == {"ping": a_build()}
    assert list(changes.runs.values()) == store.runs.open()
    assert changes.run.scheduled_for == at(10)
    assert (changes.pause, changes.pause_changed) == (store.system.pause(), True)
    assert changes.slugs() == {"ping"}


def test_a_failing_operation_undoes_the_others(store: Repositories) -> None:
    for failing, error in ((create("taken"), TaskExists), (violate_a_constraint, StorageError)):
        built_task(store, "taken" if error is TaskExists else "ping")
        before = slugs(store)
        with pytest.raises(error):
            store.write(create("new"), failing)
        assert slugs(store) == before


def test_the_changes_of_a_deleted_task_are_its_removal(store: Repositories) -> None:
    built_task(store)
    changes = store.write(
        lambda transaction: transaction.runs.insert_manual("ping", NOW),
        lambda transaction: transaction.tasks.delete("ping"),
    )
    assert (changes.tasks, changes.runs, changes.removed) == ({}, {}, ["ping"])
    changes = store.write(create("ping"), lambda transaction: transaction.tasks.delete("ping"), create("ping"))
    assert (changes.tasks, changes.removed) == ({"ping": store.tasks.get("ping")}, ["ping"])


def test_groups_of_a_batch_take_effect_in_order_and_see_the_ones_before(store: Repositories) -> None:
    outcomes = store.write_batch(
        [[create("ping")], [lambda transaction: transaction.tasks.set_pause("ping", Pause(since=NOW))], [create("b")]]
    )
    assert [type(outcome) for outcome in outcomes] == [Changes, Changes, Changes]
    assert isinstance(outcomes[1], Changes)
    assert outcomes[1].tasks == {"ping": store.tasks.get("ping")}


def test_an_error_of_an_operation_fails_its_group_only(store: Repositories) -> None:
    one, failed, three = store.write_batch(
        [[create("a")], [create("b"), lambda transaction: transaction.tasks.delete("none")], [create("c")]]
    )
    assert isinstance(one, Changes)
    assert isinstance(failed, TaskNotFound)
    assert isinstance(three, Changes)
    assert slugs(store) == ["a", "c"]


def test_a_statement_that_the_database_rejects_fails_its_group_only(store: Repositories) -> None:
    built_task(store)
    outcomes = store.write_batch([[create("a")], [create("b"), violate_a_constraint], [create("a")], [create("c")]])
    assert [type(outcome) for outcome in outcomes] == [Changes, StorageError, TaskExists, Changes]
    assert slugs(store) == ["a", "c", "ping"]


@pytest.fixture
def fail_next() -> Iterator[Callable[[str], None]]:
    """Makes the next "begin" or "commit" of a transaction fail, before it reaches the database."""
    failing: list[str] = []

    def listener(event: str) -> Callable[[sa.Connection], None]:
        def fail(connection: sa.Connection) -> None:
            if event in failing:
                failing.remove(event)
                raise sa.exc.OperationalError(event.upper(), None, Exception("the connection was lost"))

        return fail

    listeners = {event: listener(event) for event in ("begin", "commit")}
    for event, function in listeners.items():
        sa.event.listen(sa.Engine, event, function)
    yield failing.append
    for event, function in listeners.items():
        sa.event.remove(sa.Engine, event, function)


def test_a_failed_commit_has_an_unknown_outcome(store: Repositories, fail_next: Callable[[str], None]) -> None:
    fail_next("commit")
    with pytest.raises(OutcomeUnknown, match="the connection was lost") as caught:
        store.write(create("a"))
    assert caught.value.changes.slugs() == {"a"}
    fail_next("commit")
    one, failed, three = store.write_batch(
        [[create("a")], [lambda transaction: transaction.tasks.delete("none")], [create("c")]]
    )
    assert isinstance(one, OutcomeUnknown)
    assert isinstance(failed, TaskNotFound)
    assert isinstance(three, OutcomeUnknown)
    assert (one.changes.slugs(), three.changes.slugs()) == ({"a"}, {"c"})
    assert slugs(store) == [], "the failed transactions are not left open"


def test_a_transaction_that_cannot_begin_changes_nothing(store: Repositories, fail_next: Callable[[str], None]) -> None:
    fail_next("begin")
    outcomes = store.write_batch([[create("a")], [create("b")]])
    assert all(isinstance(outcome, StorageError) for outcome in outcomes)
    assert not any(isinstance(outcome, OutcomeUnknown) for outcome in outcomes)
    assert outcomes[0] is not outcomes[1], "each caller raises its own error"
    assert slugs(store) == []


def test_a_database_that_is_lost_within_a_batch_is_tried_once_more_only(
    store: Repositories, fail_next: Callable[[str], None]
) -> None:
    attempts = []

    def lose(transaction: Transaction) -> None:
        attempts.append("lose")
        fail_next("begin")
        violate_a_constraint(transaction)

    def create_again(transaction: Transaction) -> None:
        attempts.append("create")
        create("a")(transaction)

    built_task(store)
    outcomes = store.write_batch([[create_again], [lose], [create_again], [create_again]])
    assert [isinstance(outcome, StorageError) for outcome in outcomes] == [True, True, True, True]
    assert attempts == ["create", "lose"]
    assert slugs(store) == ["ping"]

"""What the store keeps of tasks and builds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest
from ledger_samples import EVERY_TEN, FRIDAYS, NOW, a_build, at, built_task, claim_of, ended, started

from keiji.errors import StorageError, TaskExists, TaskNotFound
from keiji.names import slug_of, validate
from keiji.policy import Policy
from keiji.states import RunState
from keiji_engine.storage.store import Store

NAMES = (
    "ping google",
    "日本語のタスク",
    "naïve café ☕",
    "[red]brackets[red]",
    """it's "quoted"; DROP TABLE tasks; --""",
    "x" * 100,
    "percent %s :name {0}",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_task_comes_back_as_it_was_named(store: Store, name: str) -> None:
    name = validate(name)
    created = store.tasks.create(name, slug_of(name), "does it: 'ü' %", NOW)
    assert (created.name, created.slug, created.description) == (name, slug_of(name), "does it: 'ü' %")
    assert store.tasks.get(created.slug) == created
    assert store.tasks.all() == [created]
    assert created.build is None
    assert created.schedule is None
    assert created.next_at is None
    assert not created.is_disabled
    assert not created.is_error


def test_a_name_is_taken_once(store: Store) -> None:
    store.tasks.create("ping", "ping", "", NOW)
    with pytest.raises(TaskExists, match="there is a task 'ping' already"):
        store.tasks.create("ping", "ping", "", NOW)
    assert len(store.tasks.all()) == 1


def test_two_names_cannot_share_a_folder(store: Store) -> None:
    store.tasks.create("a b", "a_b", "", NOW)
    with pytest.raises(TaskExists, match="'a_b', which is that of the task 'a b'"):
        store.tasks.create("a_b", "a_b", "", NOW)


def test_a_refused_verb_leaves_the_store_usable(store: Store) -> None:
    store.tasks.create("ping", "ping", "", NOW)
    with pytest.raises(TaskExists):
        store.tasks.create("ping", "ping", "", NOW)
    assert store.tasks.create("pong", "pong", "", NOW).name == "pong"


def test_tasks_are_sorted_by_name_whatever_the_case(store: Store) -> None:
    for name in ("beta", "Alpha", "gamma", "Delta", "_x"):
        store.tasks.create(name, name, "", NOW)
    assert [task.name for task in store.tasks.all()] == ["_x", "Alpha", "beta", "Delta", "gamma"]


def test_the_number_of_a_deleted_task_is_not_given_again(store: Store) -> None:
    first = store.tasks.create("one", "one", "", NOW)
    store.tasks.delete("one")
    again = store.tasks.create("one", "one", "", NOW)
    assert again.id > first.id
    assert again.task_id != first.task_id


def test_text_that_no_database_takes_is_kept_visible(store: Store) -> None:
    task = store.tasks.create("ping", "ping", "nul \0 and \udcff", NOW)
    assert task.description == "nul \\x00 and \\udcff"
    assert store.tasks.get("ping") == task


def test_describing_changes_name_and_description_and_keeps_the_folder(store: Store) -> None:
    store.tasks.create("ping", "ping", "old", NOW)
    changed = store.tasks.update_details("ping", name="Ping!", description="new")
    assert (changed.name, changed.slug, changed.description) == ("Ping!", "ping", "new")
    assert store.tasks.get("ping") == changed
    assert store.tasks.update_details("ping", name="Ping!", description="newer").description == "newer"


def test_describing_does_not_take_the_name_of_another(store: Store) -> None:
    store.tasks.create("ping", "ping", "", NOW)
    store.tasks.create("pong", "pong", "", NOW)
    with pytest.raises(TaskExists, match="'pong' already"):
        store.tasks.update_details("ping", name="pong", description="")
    assert store.tasks.get("ping").name == "ping"


def test_activating_switches_build_schedule_policy_and_next_instant_together(store: Store) -> None:
    store.tasks.create("ping", "ping", "", NOW)
    build = a_build(schedule=FRIDAYS)
    task = store.tasks.activate("ping", build, FRIDAYS, at(10), now=NOW)
    assert (task.build, task.schedule, task.policy, task.next_at) == (build.hash, FRIDAYS, build.policy, at(10))
    assert store.tasks.get("ping") == task
    assert store.active_build("ping") == build


def test_activating_clears_an_error(store: Store) -> None:
    built_task(store)
    ended(store, "ping", 10, RunState.FAILED)
    assert store.tasks.get("ping").is_error
    task = store.tasks.activate("ping", a_build("b"), EVERY_TEN, at(20), now=at(15))
    assert not task.is_error
    assert task.error_text == ""


def test_activating_a_disabled_task_leaves_it_without_a_next_instant(store: Store) -> None:
    built_task(store)
    store.set_enabled("ping", False, None, None)
    task = store.tasks.activate("ping", a_build("b"), EVERY_TEN, at(20), now=at(15))
    assert task.is_disabled
    assert task.next_at is None
    assert task.build == "b" * 32


def test_builds_are_kept_and_the_last_one_is_active(store: Store) -> None:
    store.tasks.create("ping", "ping", "", NOW)
    for seconds, mark in enumerate("abcb"):
        store.tasks.activate("ping", a_build(mark, Policy()), EVERY_TEN, at(10), now=at(seconds))
    assert {hash[0] for hash in store.tasks.build_hashes()} == {"a", "b", "c"}
    assert store.active_build("ping") == a_build("b", Policy())


def test_two_tasks_may_have_the_same_build(store: Store) -> None:
    built_task(store, "one")
    built_task(store, "two")
    assert store.active_build("one") == store.active_build("two")
    store.tasks.delete("one")
    assert store.tasks.build_hashes() == {"a" * 32}


def test_hashes_are_those_of_every_build_that_something_refers_to(store: Store) -> None:
    assert store.tasks.build_hashes() == set()
    built_task(store)
    store.tasks.activate("ping", a_build("b"), EVERY_TEN, at(10), now=at(1))
    assert store.tasks.build_hashes() == {"a" * 32, "b" * 32}
    store.tasks.delete("ping")
    assert store.tasks.build_hashes() == set()


def test_before_its_first_build_a_task_has_no_active_one(store: Store) -> None:
    store.tasks.create("ping", "ping", "", NOW)
    assert store.active_build("ping") is None
    assert store.tasks.build_hashes() == set()


def test_disabling_takes_the_next_instant_and_enabling_gives_it_back(store: Store) -> None:
    built_task(store)
    off = store.set_enabled("ping", False, None, at(10))
    assert off.is_disabled
    assert off.next_at is None
    assert off.schedule == EVERY_TEN
    on_again = store.set_enabled("ping", True, FRIDAYS, at(20))
    assert not on_again.is_disabled
    assert on_again.next_at == at(20)
    assert on_again.schedule == FRIDAYS


def test_rescheduling_places_the_schedule_anew_unless_the_task_is_disabled(store: Store) -> None:
    built_task(store)
    task = store.tasks.reschedule("ping", FRIDAYS, at(99))
    assert (task.schedule, task.next_at) == (FRIDAYS, at(99))
    store.set_enabled("ping", False, None, None)
    task = store.tasks.reschedule("ping", EVERY_TEN, at(100))
    assert (task.schedule, task.next_at) == (EVERY_TEN, None)


def test_resolving_clears_the_error(store: Store) -> None:
    built_task(store)
    ended(store, "ping", 10, RunState.TIMED_OUT)
    assert store.tasks.get("ping").error_text == "it timed_out"
    resolved = store.tasks.resolve("ping")
    assert (resolved.is_error, resolved.error_text) == (False, "")


def test_deleting_takes_builds_and_runs_along_and_leaves_other_tasks_alone(store: Store) -> None:
    built_task(store, "one")
    built_task(store, "two")
    gone = started(store, "one", 10)
    stays = started(store, "two", 10)
    store.tasks.delete("one")
    assert [task.slug for task in store.tasks.all()] == ["two"]
    assert store.runs.open() == [stays]
    assert gone.run_id not in {run.run_id for run in store.runs.latest("two", 10)}
    # A task of that name starts from nothing.
    store.tasks.create("one", "one", "", NOW)
    assert store.runs.latest("one", 10) == []
    assert store.active_build("one") is None


def test_every_verb_about_an_unknown_task_says_so(store: Store) -> None:
    verbs: tuple[Callable[[], object], ...] = (
        lambda: store.tasks.get("none"),
        lambda: store.tasks.update_details("none", name="x", description=""),
        lambda: store.tasks.activate("none", a_build(), EVERY_TEN, None, now=NOW),
        lambda: store.set_enabled("none", True, None, None),
        lambda: store.tasks.reschedule("none", EVERY_TEN, None),
        lambda: store.tasks.resolve("none"),
        lambda: store.tasks.delete("none"),
        lambda: store.active_build("none"),
        lambda: store.runs.insert_manual("none", now=NOW),
        lambda: store.runs.latest("none", 1),
        lambda: store.runs.cancel_queued("none", "", NOW),
    )
    for verb in verbs:
        with pytest.raises(TaskNotFound, match="there is no task 'none'"):
            verb()
    assert store.tasks.all() == []
    assert store.tasks.build_hashes() == set()


def test_moments_keep_their_microseconds_and_come_back_in_utc(store: Store) -> None:
    built_task(store)
    for offset in (timedelta(hours=5, minutes=45), timedelta(hours=-9, minutes=-30)):
        for microseconds in (0, 1, 999_999):
            local = datetime(2026, 3, 29, 1, 59, 59, microseconds, tzinfo=timezone(offset))
            back = store.tasks.reschedule("ping", EVERY_TEN, local).next_at
            assert back == local
            assert back is not None
            assert back.utcoffset() == timedelta(0)
            assert store.tasks.get("ping").next_at == local


def test_a_moment_without_a_zone_is_refused(store: Store) -> None:
    built_task(store)
    with pytest.raises(StorageError, match="without a time zone"):
        store.tasks.reschedule("ping", EVERY_TEN, datetime(2026, 1, 1))
    assert store.tasks.get("ping").next_at == at(10)


def test_what_one_store_writes_another_reads(open_store) -> None:
    one, two = open_store(), open_store()
    task = built_task(one)
    assert two.tasks.get("ping") == task
    assert [run.task for run in two.runs.claim([claim_of("ping", 10)], at(10))] == ["ping"]
    assert one.tasks.get("ping").next_at == at(20)

"""Tasks and builds in the store."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest
from ledger_samples import EVERY_TEN, FRIDAYS, NOW, a_build, at, built_task, claim_of, ended, started
from repositories import Repositories

from keiji.errors import BuildNotFound, StorageError, TaskExists, TaskNotFound
from keiji.names import slug_of, validate
from keiji.policy import Policy
from keiji.reasons import Code, reason, text_reason
from keiji.states import RunState

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
def test_a_task_is_returned_as_it_was_created(store: Repositories, name: str) -> None:
    name = validate(name)
    created = store.tasks.create(name, slug_of(name), "description: 'ü' %", NOW)
    assert (created.name, created.slug, created.description) == (name, slug_of(name), "description: 'ü' %")
    assert store.tasks.get(created.slug) == created
    assert store.tasks.all() == [created]
    assert created.build is None
    assert created.schedule is None
    assert created.next_at is None
    assert not created.is_disabled
    assert not created.is_error


def test_a_name_is_unique(store: Repositories) -> None:
    store.tasks.create("ping", "ping", "", NOW)
    with pytest.raises(TaskExists, match="there is already a task 'ping'"):
        store.tasks.create("ping", "ping", "", NOW)
    store.tasks.create("pong", "pong", "", NOW)
    assert [task.name for task in store.tasks.all()] == ["ping", "pong"]


def test_two_names_cannot_share_a_folder(store: Repositories) -> None:
    store.tasks.create("a b", "a_b", "", NOW)
    with pytest.raises(TaskExists, match="'a_b', which belongs to the task 'a b'"):
        store.tasks.create("a_b", "a_b", "", NOW)


def test_tasks_are_sorted_by_name_regardless_of_case(store: Repositories) -> None:
    for name in ("beta", "Alpha", "gamma", "Delta", "_x"):
        store.tasks.create(name, name, "", NOW)
    assert [task.name for task in store.tasks.all()] == ["_x", "Alpha", "beta", "Delta", "gamma"]


def test_the_id_of_a_deleted_task_is_not_reused(store: Repositories) -> None:
    first = store.tasks.create("one", "one", "", NOW)
    store.tasks.delete("one")
    again = store.tasks.create("one", "one", "", NOW)
    assert again.id > first.id
    assert again.task_id != first.task_id


def test_text_that_databases_reject_is_escaped(store: Repositories) -> None:
    task = store.tasks.create("ping", "ping", "nul \0 and \udcff", NOW)
    assert task.description == "nul \\x00 and \\udcff"
    assert store.tasks.get("ping") == task


def test_an_update_changes_name_and_description_but_not_the_slug(store: Repositories) -> None:
    store.tasks.create("ping", "ping", "old", NOW)
    changed = store.tasks.update_details("ping", name="Ping!", description="new")
    assert (changed.name, changed.slug, changed.description) == ("Ping!", "ping", "new")
    assert store.tasks.get("ping") == changed
    assert store.tasks.update_details("ping", name="Ping!", description="newer").description == "newer"


def test_an_update_cannot_use_the_name_of_another_task(store: Repositories) -> None:
    store.tasks.create("ping", "ping", "", NOW)
    store.tasks.create("pong", "pong", "", NOW)
    with pytest.raises(TaskExists, match="already a task 'pong'"):
        store.tasks.update_details("ping", name="pong", description="")
    assert store.tasks.get("ping").name == "ping"


def test_activating_sets_build_schedule_policy_and_next_instant(store: Repositories) -> None:
    store.tasks.create("ping", "ping", "", NOW)
    build = a_build(schedule=FRIDAYS)
    task = store.tasks.activate("ping", build, FRIDAYS, at(10), now=NOW)
    assert (task.build, task.schedule, task.policy, task.next_at) == (build.hash, FRIDAYS, build.policy, at(10))
    assert store.tasks.get("ping") == task
    assert store.tasks.active_builds() == {"ping": build}


def test_activating_clears_an_error(store: Repositories) -> None:
    built_task(store)
    ended(store, "ping", 10, RunState.FAILED)
    assert store.tasks.get("ping").is_error
    task = store.tasks.activate("ping", a_build("b"), EVERY_TEN, at(20), now=at(15))
    assert not task.is_error
    assert task.error is None


def test_activating_a_disabled_task_leaves_it_without_a_next_instant(store: Repositories) -> None:
    built_task(store)
    store.tasks.disable("ping")
    task = store.tasks.activate("ping", a_build("b"), EVERY_TEN, at(20), now=at(15))
    assert task.is_disabled
    assert task.next_at is None
    assert task.build == "b" * 32


def test_builds_are_kept_and_the_last_one_is_active(store: Repositories) -> None:
    store.tasks.create("ping", "ping", "", NOW)
    for seconds, mark in enumerate("abcb"):
        store.tasks.activate("ping", a_build(mark, Policy()), EVERY_TEN, at(10), now=at(seconds))
    assert {build_hash[0] for build_hash in store.tasks.builds_to_keep(10)} == {"a", "b", "c"}
    assert store.tasks.active_builds() == {"ping": a_build("b", Policy())}


def test_two_tasks_may_have_the_same_build(store: Repositories) -> None:
    built_task(store, "one")
    built_task(store, "two")
    active = store.tasks.active_builds()
    assert active["one"] == active["two"]
    store.tasks.delete("one")
    assert store.tasks.builds_to_keep(10) == {"a" * 32}


def test_the_latest_builds_of_each_task_are_kept_and_those_that_are_active_or_of_an_open_run(
    store: Repositories,
) -> None:
    assert store.tasks.builds_to_keep(2) == set()
    for slug, marks in (("ping", "abcd"), ("pong", "xyzx")):
        store.tasks.create(slug, slug, "", NOW)
        for seconds, mark in enumerate(marks):
            store.tasks.activate(slug, a_build(mark), EVERY_TEN, at(10), now=at(seconds))
            if mark == "a":
                manual = store.runs.insert_manual(slug, at(seconds), state=RunState.QUEUED, reason=reason(Code.JITTER))

    def kept(count: int) -> str:
        return "".join(sorted(build[0] for build in store.tasks.builds_to_keep(count)))

    assert kept(10) == "abcdxyz"
    assert kept(2) == "acdxz"
    assert kept(0) == "adx"
    store.runs.cancel_queued("ping", reason(Code.STOPPED), at(5))
    assert manual.build == "a" * 32
    assert kept(2) == "cdxz"
    store.tasks.delete("ping")
    assert kept(2) == "xz"


def test_a_pinned_build_is_kept_and_stays_pinned_when_it_is_activated_again(store: Repositories) -> None:
    store.tasks.create("ping", "ping", "", NOW)
    for seconds, mark in enumerate("abc"):
        store.tasks.activate("ping", a_build(mark), EVERY_TEN, at(10), now=at(seconds), by=f"user {mark}")
    store.tasks.set_pinned("ping", "a" * 32, is_pinned=True)
    assert store.tasks.builds_to_keep(1) == {"a" * 32, "c" * 32}
    assert not store.tasks.active_builds()["ping"].is_pinned

    store.tasks.activate("ping", a_build("a"), EVERY_TEN, at(10), now=at(5), by="ann")
    assert store.tasks.active_builds()["ping"].is_pinned
    recorded = store.tasks.recorded_builds("ping")
    assert [(each.hash[0], each.activated_by, each.is_pinned, each.activated_at) for each in recorded] == [
        ("a", "ann", True, at(5)),
        ("c", "user c", False, at(2)),
        ("b", "user b", False, at(1)),
    ]
    store.tasks.set_pinned("ping", "a" * 32, is_pinned=False)
    assert not store.tasks.active_builds()["ping"].is_pinned
    with pytest.raises(BuildNotFound):
        store.tasks.set_pinned("ping", "d" * 32, is_pinned=True)


def test_a_rollback_records_the_build_that_it_replaces_until_it_is_undone_or_another_is_built(
    store: Repositories,
) -> None:
    store.tasks.create("ping", "ping", "", NOW)

    def activate(mark: str, *, is_rollback: bool) -> str:
        task = store.tasks.activate("ping", a_build(mark), EVERY_TEN, at(10), now=NOW, is_rollback=is_rollback)
        assert store.tasks.get("ping") == task
        return (task.rolled_back_from or "-")[0]

    steps = (
        ("a", False, "-"),
        ("b", False, "-"),
        ("a", True, "b"),
        ("b", True, "-"),
        ("a", True, "b"),
        ("c", False, "-"),
    )
    for mark, is_rollback, expected in steps:
        assert activate(mark, is_rollback=is_rollback) == expected


def test_a_task_without_a_build_has_no_active_build(store: Repositories) -> None:
    store.tasks.create("ping", "ping", "", NOW)
    assert store.tasks.active_builds() == {}
    assert store.tasks.builds_of("ping") == set()


def test_disabling_clears_the_next_instant_and_enabling_sets_it(store: Repositories) -> None:
    built_task(store)
    off = store.tasks.disable("ping")
    assert off.is_disabled
    assert off.next_at is None
    assert off.schedule == EVERY_TEN
    enabled = store.tasks.enable("ping", FRIDAYS, at(20))
    assert (enabled.is_disabled, enabled.next_at, enabled.schedule) == (False, at(20), FRIDAYS)
    store.tasks.disable("ping")
    assert store.tasks.enable("ping", None, at(30)).schedule == FRIDAYS


def test_rescheduling_sets_the_next_instant_unless_the_task_is_disabled(store: Repositories) -> None:
    built_task(store)
    task = store.tasks.reschedule("ping", FRIDAYS, at(99))
    assert (task.schedule, task.next_at) == (FRIDAYS, at(99))
    store.tasks.disable("ping")
    task = store.tasks.reschedule("ping", EVERY_TEN, at(100))
    assert (task.schedule, task.next_at) == (EVERY_TEN, None)


def test_resolving_clears_the_error(store: Repositories) -> None:
    built_task(store)
    ended(store, "ping", 10, RunState.TIMED_OUT)
    assert store.tasks.get("ping").error == text_reason("it timed_out")
    resolved = store.tasks.resolve("ping")
    assert (resolved.is_error, resolved.error) == (False, None)


def test_deleting_removes_builds_and_runs_of_that_task_only(store: Repositories) -> None:
    built_task(store, "one")
    built_task(store, "two")
    gone = started(store, "one", 10)
    stays = started(store, "two", 10)
    store.tasks.delete("one")
    assert [task.slug for task in store.tasks.all()] == ["two"]
    assert store.runs.open() == [stays]
    assert gone.run_id not in {run.run_id for run in store.runs.latest("two", 10)}
    # A new task of that name starts without history.
    store.tasks.create("one", "one", "", NOW)
    assert store.runs.latest("one", 10) == []
    assert "one" not in store.tasks.active_builds()


def test_an_unknown_task_is_not_found(store: Repositories) -> None:
    methods: tuple[Callable[[], object], ...] = (
        lambda: store.tasks.get("none"),
        lambda: store.tasks.update_details("none", name="x", description=""),
        lambda: store.tasks.activate("none", a_build(), EVERY_TEN, None, now=NOW),
        lambda: store.tasks.enable("none", None, None),
        lambda: store.tasks.disable("none"),
        lambda: store.tasks.reschedule("none", EVERY_TEN, None),
        lambda: store.tasks.resolve("none"),
        lambda: store.tasks.delete("none"),
        lambda: store.tasks.set_pause("none", None),
        lambda: store.tasks.builds_of("none"),
        lambda: store.runs.insert_manual("none", now=NOW),
        lambda: store.runs.latest("none", 1),
        lambda: store.runs.cancel_queued("none", reason(Code.STOPPED), NOW),
    )
    for method in methods:
        with pytest.raises(TaskNotFound, match="there is no task 'none'"):
            method()
    assert store.tasks.all() == []
    assert store.tasks.builds_to_keep(10) == set()


def test_moments_keep_microseconds_and_are_returned_in_utc(store: Repositories) -> None:
    built_task(store)
    for offset in (timedelta(hours=5, minutes=45), timedelta(hours=-9, minutes=-30)):
        for microseconds in (0, 1, 999_999):
            local = datetime(2026, 3, 29, 1, 59, 59, microseconds, tzinfo=timezone(offset))
            store.tasks.reschedule("ping", EVERY_TEN, local)
            stored = store.tasks.get("ping").next_at
            assert stored == local
            assert stored is not None
            assert stored.utcoffset() == timedelta(0)


def test_a_moment_without_a_zone_is_refused(store: Repositories) -> None:
    built_task(store)
    with pytest.raises(StorageError, match="without a time zone"):
        store.tasks.reschedule("ping", EVERY_TEN, datetime(2026, 1, 1))
    assert store.tasks.get("ping").next_at == at(10)


def test_one_store_reads_what_another_writes(open_store: Callable[[], Repositories]) -> None:
    one, two = open_store(), open_store()
    task = built_task(one)
    assert two.tasks.get("ping") == task
    assert [run.task for run in two.runs.claim([claim_of("ping", 10)], at(10))] == ["ping"]
    assert one.tasks.get("ping").next_at == at(20)

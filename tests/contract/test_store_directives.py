"""The ledger of directives: what comes twice is remembered once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from ledger_samples import NOW, at

from keiji_engine.storage.store import Store, StoredDirective


def test_a_directive_is_new_once_and_pending_until_it_is_settled(store: Store) -> None:
    assert store.directives.insert("d1", "build", "ping", "keiji-tui", NOW) is None
    assert store.directives.insert("d1", "build", "ping", "keiji-tui", at(1)) == b""
    assert store.directives.get("d1") == StoredDirective("d1", "build", "ping", "keiji-tui", "accepted", b"", NOW, None)
    assert store.directives.insert("d2", "run", "ping", "", at(2)) is None


def test_the_reply_of_a_settled_directive_is_given_to_whoever_sends_it_again(store: Store) -> None:
    reply = bytes(range(256))
    store.directives.insert("d1", "build", "ping", "", NOW)
    store.directives.complete("d1", "done", reply, at(3))
    assert store.directives.insert("d1", "build", "ping", "", at(4)) == reply
    assert store.directives.get("d1") == StoredDirective("d1", "build", "ping", "", "done", reply, NOW, at(3))


def test_what_is_settled_stays_as_it_is(store: Store) -> None:
    store.directives.insert("d1", "build", "ping", "", NOW)
    store.directives.complete("d1", "done", b"first", at(3))
    store.directives.complete("d1", "refused", b"second", at(4))
    assert store.directives.insert("d1", "build", "ping", "", at(5)) == b"first"


def test_settling_what_was_never_remembered_adds_nothing(store: Store) -> None:
    store.directives.complete("ghost", "done", b"x", NOW)
    assert store.directives.get("ghost") is None


def test_directives_outlive_the_task_that_they_were_about(store: Store) -> None:
    store.tasks.create("ping", "ping", "", NOW)
    store.directives.insert("d1", "delete", "ping", "", NOW)
    store.tasks.delete("ping")
    store.directives.complete("d1", "done", b"gone", at(1))
    assert store.directives.insert("d1", "delete", "ping", "", at(2)) == b"gone"


def test_the_ledger_is_read_newest_first_with_what_each_directive_said(store: Store) -> None:
    assert store.directives.latest(10) == []
    store.directives.insert("d1", "build", "ping", "keiji", NOW, options={"restart": True})
    store.directives.insert("d3", "pause-system", "", "keiji", at(2), options={"reason": "it's [ü]"})
    store.directives.insert("d2", "run", "ping", "keiji", at(1))
    found = store.directives.latest(10)
    assert [(each.id, each.options) for each in found] == [
        ("d3", {"reason": "it's [ü]"}),
        ("d2", {}),
        ("d1", {"restart": True}),
    ]
    assert store.directives.latest(2) == found[:2]


def test_of_two_who_bring_the_same_directive_at_once_one_is_first(open_store) -> None:
    stores = [open_store(), open_store()]
    together = Barrier(2)

    def bring(number: int) -> list[bytes | None]:
        answers = []
        for index in range(20):
            together.wait(10)
            answers.append(stores[number].directives.insert(f"d{index}", "run", "ping", str(number), NOW))
        return answers

    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(bring, range(2))
    assert all({a, b} == {None, b""} for a, b in zip(one, two, strict=True))

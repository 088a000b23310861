"""The ledger of directives: a directive that arrives twice has one row."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from ledger_samples import NOW, at
from repositories import Repositories

from keiji_engine.storage.rows import StoredDirective


def test_a_directive_is_new_once_and_pending_until_completed(store: Repositories) -> None:
    assert store.directives.insert("d1", "build", "ping", "keiji-tui", NOW) is None
    known = StoredDirective("d1", "build", "ping", "keiji-tui", "accepted", b"", NOW, None)
    assert store.directives.insert("d1", "build", "ping", "keiji-tui", at(1)) == known
    assert store.directives.get("d1") == known
    assert store.directives.insert("d2", "run", "ping", "", at(2)) is None


def test_a_repeated_directive_returns_the_stored_reply(store: Repositories) -> None:
    reply = bytes(range(256))
    store.directives.insert("d1", "build", "ping", "", NOW)
    store.directives.complete("d1", "done", reply, at(3))
    known = StoredDirective("d1", "build", "ping", "", "done", reply, NOW, at(3))
    assert store.directives.insert("d1", "build", "ping", "", at(4)) == known


def test_a_completed_directive_does_not_change(store: Repositories) -> None:
    store.directives.insert("d1", "build", "ping", "", NOW)
    store.directives.complete("d1", "done", b"first", at(3))
    store.directives.complete("d1", "refused", b"second", at(4))
    known = store.directives.get("d1")
    assert known is not None
    assert (known.stage, known.reply, known.completed_at) == ("done", b"first", at(3))


def test_completing_an_unknown_directive_adds_nothing(store: Repositories) -> None:
    store.directives.complete("ghost", "done", b"x", NOW)
    assert store.directives.get("ghost") is None


def test_directives_outlive_their_task(store: Repositories) -> None:
    store.tasks.create("ping", "ping", "", NOW)
    store.directives.insert("d1", "delete", "ping", "", NOW)
    store.tasks.delete("ping")
    store.directives.complete("d1", "done", b"gone", at(1))
    known = store.directives.get("d1")
    assert known is not None
    assert known.reply == b"gone"


def test_the_ledger_is_read_newest_first_with_options(store: Repositories) -> None:
    assert store.directives.latest(10) == []
    store.directives.insert("d1", "build", "ping", "keiji", NOW, options={"restart": True})
    store.directives.insert("d3", "pause-system", "", "keiji", at(2), options={"reason": "it's [ü]"})
    store.directives.insert("d2", "run", "ping", "keiji", at(1), user="root", sudo_user="計時")
    latest = store.directives.latest(10)
    assert [(stored.id, stored.options, stored.user, stored.sudo_user) for stored in latest] == [
        ("d3", {"reason": "it's [ü]"}, "", ""),
        ("d2", {}, "root", "計時"),
        ("d1", {"restart": True}, "", ""),
    ]
    assert store.directives.latest(2) == latest[:2]


def test_concurrent_stores_insert_a_directive_once(open_store: Callable[[], Repositories]) -> None:
    stores = [open_store(), open_store()]
    barrier = Barrier(2)

    def insert(number: int) -> list[str | None]:
        known_senders = []
        for index in range(20):
            barrier.wait(10)
            known = stores[number].directives.insert(f"d{index}", "run", "ping", f"sender {number}", NOW)
            known_senders.append(known.sender if known is not None else None)
        return known_senders

    with ThreadPoolExecutor(2) as pool:
        pairs = list(zip(*pool.map(insert, range(2)), strict=True))
    assert set(pairs) <= {(None, "sender 0"), ("sender 1", None)}
    assert len(pairs) == 20

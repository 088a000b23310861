"""Makes this installation the owner of its database. It works with a running engine and without one."""

from __future__ import annotations

import uuid
from datetime import datetime

from keiji import settings as settings_file
from keiji.paths import Paths
from keiji_engine.bus import protocol as p
from keiji_engine.bus.security import own_peer, sudo_user
from keiji_engine.storage.store import Store
from keiji_engine.storage.transactions import Operation, Transaction

_VERB = "take-over-database"


def take_over(paths: Paths, sender: str, now: datetime) -> str:
    """Make this installation the owner of the database, and enter that into the ledger.

    Returns:
        A description of the former owner; "" if there was no other.

    Raises:
        InvalidSettings, StorageError: the database cannot be used.
    """
    paths.create_folders()
    store = Store.open(settings_file.load(paths.settings), paths)
    try:
        former = store.take_over()
        if former:
            store.write(_ledger_entry(former, sender, now))
    finally:
        store.close()
    return former


def find_owner(paths: Paths) -> str:
    """Return a description of the other installation that owns the database; "" if there is none. Raises as above."""
    paths.create_folders()
    store = Store.open(settings_file.load(paths.settings), paths)
    try:
        return store.foreign_owner()
    finally:
        store.close()


def _ledger_entry(former: str, sender: str, now: datetime) -> Operation:
    directive_id = uuid.uuid4().hex
    body = p.encode(p.Done(id=directive_id, lines=(f"the database belonged to {former}",)))[1]

    def record(transaction: Transaction) -> None:
        user, sudo = own_peer().user, sudo_user()
        transaction.directives.insert(directive_id, _VERB, "", sender, now, user=user, sudo_user=sudo)
        transaction.directives.complete(directive_id, "done", body, now)

    return record

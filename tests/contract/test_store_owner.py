"""Only the installation that owns a database writes to it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ledger_samples import at, built_task, claim_of
from repositories import Repositories

from keiji.paths import Paths
from keiji.settings import Settings
from keiji_engine.storage.owner import ForeignDatabase
from keiji_engine.storage.store import Store


@pytest.fixture
def open_as(settings: Settings, paths: Paths, tmp_path: Path) -> Iterator[Callable[[str], Store]]:
    """Opens the one database for an installation with this name; "" is the owner of the database file."""
    stores: list[Store] = []

    def open_for(name: str) -> Store:
        own = Paths.under(tmp_path / name) if name else paths
        if name and settings.database_kind == "sqlite":  # the same file, as if it had been moved there
            own.database.parent.parent.mkdir(parents=True, exist_ok=True)
            own.database.parent.symlink_to(paths.database.parent)
        stores.append(Store.open(settings, own))
        return stores[-1]

    yield open_for
    for store in stores:
        store.close()


def test_another_installation_cannot_write_until_it_takes_the_database_over(open_as: Callable[[str], Store]) -> None:
    first = open_as("")
    built_task(Repositories(first))
    second = open_as("second")
    with pytest.raises(ForeignDatabase, match="belongs to the installation of keiji in") as refused:
        second.require_owner()
    assert "keiji db take-over" in refused.value.hint
    with pytest.raises(ForeignDatabase):
        second.write(lambda transaction: transaction.tasks.disable("ping"))
    outcomes = second.write_batch([[lambda transaction: transaction.tasks.disable("ping")]] * 2)
    assert all(isinstance(outcome, ForeignDatabase) for outcome in outcomes)
    assert not second.read(lambda transaction: transaction.tasks.get("ping")).is_disabled

    assert second.take_over() == first_folder(refused.value)
    assert second.take_over() == ""
    second.write(lambda transaction: transaction.tasks.disable("ping"))
    with pytest.raises(ForeignDatabase):
        first.write(lambda transaction: transaction.runs.claim([claim_of("ping", 10)], at(10)))
    with pytest.raises(ForeignDatabase):
        first.check()


def first_folder(error: ForeignDatabase) -> str:
    return error.message.split(" in ", 1)[1].split(", not to", 1)[0]


def test_a_copy_of_the_data_folder_is_another_installation_and_a_moved_one_is_the_same(
    open_as: Callable[[str], Store], paths: Paths, tmp_path: Path, kind: str
) -> None:
    built_task(Repositories(open_as("")))
    other = Paths.under(tmp_path / "other")
    other.data.mkdir()
    shutil.copy(paths.installation_id, other.installation_id)
    store = open_as("other")
    if kind == "postgresql":
        with pytest.raises(ForeignDatabase):
            store.require_owner()
    paths.installation_id.unlink()  # it was a move
    store.require_owner()
    store.write(lambda transaction: transaction.tasks.disable("ping"))

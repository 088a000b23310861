"""Which installation owns a database. Only the owner writes to it.

Each installation has an id, in its data folder. The first one that writes to a database becomes its owner. Without
this, two engines with different folders on one database would run everything twice, and each would take the live runs
of the other for lost.
"""

from __future__ import annotations

import contextlib
import os
import socket
import uuid
from pathlib import Path

import sqlalchemy as sa

from keiji.errors import StorageError
from keiji.paths import Paths
from keiji_engine.storage.database import insert_unless_known
from keiji_engine.storage.tables import system_state

_OWNER = "owner"
_ID_LENGTH = 32  # hexadecimal digits
_Owner = dict[str, str]
_SELECT_OWNER = sa.select(system_state.c.value).where(system_state.c.name == _OWNER)
_LOCK_OWNER = _SELECT_OWNER.with_for_update(read=True)


class ForeignDatabase(StorageError):
    """The database belongs to another installation of keiji."""


class Installation:
    """This installation, as an owner of databases.

    Args:
        is_shared: whether the database is outside the data folder, so that a copy of the folder uses the same one.
    """

    def __init__(self, paths: Paths, *, is_shared: bool) -> None:
        self._paths = paths
        self._is_shared = is_shared
        self._id = ""

    def claim(self, connection: sa.Connection) -> None:
        """Become the owner of a database that has none. Raises ForeignDatabase if another installation owns it.

        The row stays locked until the transaction ends, so that a take-over waits for it.
        """
        owner = self._owner(connection)
        if owner is None:
            addition = insert_unless_known(connection.dialect.name, system_state).values(
                name=_OWNER, value=self._description()
            )
            connection.execute(addition)
            owner = self._owner(connection)
        self._check(owner)

    def check_owner(self, connection: sa.Connection) -> None:
        """Raise ForeignDatabase if another installation owns the database."""
        self._check(connection.scalar(_SELECT_OWNER))

    def find_foreign_owner(self, connection: sa.Connection) -> str:
        """Return a description of the other installation that owns the database; "" if there is none."""
        owner: _Owner | None = connection.scalar(_SELECT_OWNER)
        return "" if owner is None or self._is_own(owner) else _describe(owner)

    def take_over(self, connection: sa.Connection) -> str:
        """Become the owner of the database; return a description of the former owner, "" if there was no other."""
        former = self._owner(connection)
        connection.execute(sa.delete(system_state).where(system_state.c.name == _OWNER))
        connection.execute(sa.insert(system_state).values(name=_OWNER, value=self._description()))
        return "" if former is None or self._is_own(former) else _describe(former)

    def _is_own(self, owner: _Owner) -> bool:
        if owner.get("id") != self._installation_id():
            return False
        data = owner.get("data", "")
        if not self._is_shared or data == os.fspath(self._paths.data) or owner.get("host") != socket.gethostname():
            return True
        # The data folder was moved or copied, and the id with it. If the other folder is still there, this is a copy.
        other = Path(data) / self._paths.installation_id.name
        try:
            return _read(other) != self._installation_id() or other.samefile(self._paths.installation_id)
        except (OSError, ValueError):
            return True

    def _owner(self, connection: sa.Connection) -> _Owner | None:
        owner: _Owner | None = connection.scalar(_LOCK_OWNER)
        return owner

    def _check(self, owner: _Owner | None) -> None:
        if owner is None or self._is_own(owner):
            return
        raise ForeignDatabase(
            f"the database belongs to the installation of keiji in {_describe(owner)}, not to this one in "
            f"{self._paths.data}",
            hint="name another database in settings.conf (DB_URL); or, if that installation does not use it any more, "
            "run keiji db take-over",
        )

    def _description(self) -> _Owner:
        return {"id": self._installation_id(), "host": socket.gethostname(), "data": os.fspath(self._paths.data)}

    def _installation_id(self) -> str:
        """Return the id of this installation, which is made when it is first needed. Raises StorageError."""
        if not self._id:
            file = self._paths.installation_id
            try:
                self._id = _read_or_create(file)
            except (OSError, ValueError) as error:
                text = error.strerror if isinstance(error, OSError) else str(error)
                raise StorageError(f"the id of this installation cannot be read from {file}: {text}") from error
        return self._id


def _describe(owner: _Owner) -> str:
    return f"{owner.get('data', '?')} on {owner.get('host', '?')}"


def _read_or_create(file: Path) -> str:
    with contextlib.suppress(FileNotFoundError):
        return _read(file)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = file.with_name(f"{file.name}.{uuid.uuid4().hex}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as new:
            new.write(f"{uuid.uuid4().hex}\n")
            new.flush()
            os.fsync(descriptor)
        with contextlib.suppress(FileExistsError):  # another process was faster
            os.link(temporary, file)
    finally:
        temporary.unlink()
    return _read(file)


def _read(file: Path) -> str:
    text = file.read_text(encoding="ascii").strip()
    if len(text) != _ID_LENGTH:
        raise ValueError("it contains no id")
    return text

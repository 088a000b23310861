"""Publish and subscribe inside the engine: in process, synchronous, in the order of publication."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from keiji.reasons import Reason
from keiji_engine.storage.changes import Changes

E = TypeVar("E")

_log = logging.getLogger("keiji.engine")


@dataclass(frozen=True, slots=True)
class Committed:
    """A transaction is committed, and the in-memory state is updated."""

    changes: Changes


@dataclass(frozen=True, slots=True)
class DatabaseChecked:
    """The database rejects writes, for ``problem``, or accepts them again if that is None."""

    problem: Reason | None


@dataclass(frozen=True, slots=True)
class DatabaseReplaced:
    """Another database took the place of the open one, and the state in memory was read from it."""


class EventBus:
    """Delivers each event to the subscribers of its type and of its base types.

    A subscriber must not block. One that raises is logged, and the others still get the event.
    """

    def __init__(self) -> None:
        self._subscribers: dict[type, list[Callable[[Any], None]]] = defaultdict(list)

    def subscribe(self, kind: type[E], subscriber: Callable[[E], None]) -> None:
        """Have ``subscriber`` called with each event that is a ``kind``."""
        self._subscribers[kind].append(subscriber)

    def publish(self, event: object) -> None:
        """Deliver an event."""
        for kind in type(event).__mro__:
            for subscriber in self._subscribers.get(kind, ()):
                try:
                    subscriber(event)
                except Exception:  # noqa: BLE001 - logged; the other subscribers must get the event
                    _log.exception("a subscriber failed on %s", type(event).__name__)

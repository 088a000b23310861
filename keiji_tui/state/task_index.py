"""Which tasks a table shows, and in which order. Pure.

It is told of each change, so that one of ten thousand tasks costs no look at all the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from enum import Enum
from functools import lru_cache
from typing import Any

from keiji import names
from keiji_engine.bus.views import TaskView
from keiji_tui.state.task_state import TaskState, state_of

name_key = lru_cache(maxsize=1 << 16)(names.natural_sort_key)
_S = TaskState
_WORST_FIRST = (
    _S.HELD, _S.FAILING, _S.RETRYING, _S.RUNNING, _S.QUEUED, _S.PAUSED, _S.UNBUILT, _S.IDLE, _S.DISABLED,
)  # fmt: skip
_STATES = {state: place for place, state in enumerate(_WORST_FIRST)}
Key = tuple[Any, ...]


class StatusFilter(Enum):
    """Tasks of one kind: how they are called, and which they are."""

    ALL = ("all", lambda _: True)
    RUNNING = ("running", lambda task: task.is_running)
    FAILING = ("failing", lambda task: task.is_error and not task.is_disabled and task.held_since is None)
    KEPT_BACK = ("held or paused", lambda task: not task.is_disabled and bool(task.pause or task.held_since))
    DISABLED = ("disabled", lambda task: task.is_disabled)
    DIFFERING = ("with other sources than built", lambda task: bool(task.source_changes))
    UNBUILT = ("not built", lambda task: task.build is None)

    @property
    def word(self) -> str:
        return str(self.value[0])

    @property
    def fits(self) -> Callable[[TaskView], bool]:
        fits: Callable[[TaskView], bool] = self.value[1]
        return fits


class Sort(Enum):
    """By what tasks are sorted: the id of the column, a word, and whether the greatest comes first at first."""

    NAME = ("name", "name", False)
    NEXT = ("next", "next run", False)
    LAST = ("last", "last run", True)
    TOOK = ("took", "duration", True)
    STATE = ("state", "state", False)

    @property
    def column(self) -> str:
        return self.value[0]

    @property
    def word(self) -> str:
        return self.value[1]

    @property
    def falls(self) -> bool:
        return self.value[2]


class TaskIndex:
    """The tasks that are shown, as far as names, states and order decide it."""

    def __init__(self) -> None:
        self.filter = ""
        self.only = StatusFilter.ALL
        self.sort = Sort.NAME
        self.falls = False
        self._asked: object = None
        self._keys: dict[str, Key] = {}
        self._order: list[str] = []
        self._fresh: dict[str, None] = {}
        self._has_lost = False
        self._is_outdated = False

    # ── what a person does ───────────────────────────────────────────────────────────────────────────────────────────

    def next_sort(self) -> None:
        """Sort by the next thing there is to sort by."""
        sorts = list(Sort)
        self.sort_by(sorts[(sorts.index(self.sort) + 1) % len(sorts)])

    def sort_by(self, sort: Sort) -> None:
        """Sort by something; by the same a second time, the other way round."""
        self.falls = not self.falls if sort is self.sort else sort.falls
        self.sort = sort

    def next_only(self, tasks: Iterable[TaskView]) -> None:
        """Show the next kind of which there are any."""
        known, kinds = list(tasks), list(StatusFilter)
        following = kinds[kinds.index(self.only) + 1 :]
        self.only = next((kind for kind in following if any(map(kind.fits, known))), StatusFilter.ALL)

    def show_all(self) -> bool:
        """Hide nothing any more; return whether something was to be hidden."""
        hides = self.hides
        self.filter, self.only = "", StatusFilter.ALL
        return hides

    @property
    def hides(self) -> bool:
        return bool(self.filter) or self.only is not StatusFilter.ALL

    # ── what is shown ────────────────────────────────────────────────────────────────────────────────────────────────

    def reset(self) -> None:
        """Note that all tasks may be others."""
        self._asked = None

    def put(self, task: TaskView) -> None:
        """Note that a task is new or differs."""
        key = self._key(task) if self._passes(task) else None
        known = self._keys.get(task.slug)
        if key == known:
            return
        self._is_outdated = True
        if key is None:
            del self._keys[task.slug]
            self._has_lost = True
        else:
            self._keys[task.slug] = key
            if known is None:
                self._has_lost = True  # it may stand in the order from before
                self._fresh[task.slug] = None

    def drop(self, slug: str) -> None:
        """Note that a task is gone."""
        if self._keys.pop(slug, None) is not None:
            self._is_outdated = self._has_lost = True

    def of(self, tasks: Mapping[str, TaskView]) -> list[str]:
        """Return the slugs of the tasks to show, in order; the same list for as long as nothing differs."""
        asked = (self.filter, self.only, self.sort, self.falls)
        if asked != self._asked:
            self._asked = asked
            self._keys = {slug: self._key(task) for slug, task in tasks.items() if self._passes(task)}
            self._order, self._fresh, self._is_outdated = [], dict.fromkeys(self._keys), True
        if self._is_outdated:
            order, keys, fresh = self._order, self._keys, self._fresh
            if self._has_lost:
                order = [slug for slug in order if slug in keys and slug not in fresh]
            order = [*order, *(slug for slug in fresh if slug in keys)]
            order.sort(key=keys.__getitem__, reverse=self._is_by_name and self.falls)  # nearly in order already
            self._order, self._fresh, self._has_lost, self._is_outdated = order, {}, False, False
        return self._order

    @property
    def _is_by_name(self) -> bool:
        return self.sort is Sort.NAME

    def _passes(self, task: TaskView) -> bool:
        wanted = self.filter.casefold()
        return self.only.fits(task) and (not wanted or wanted in task.name.casefold() or wanted in task.slug)

    def _key(self, task: TaskView) -> Key:
        """Return what a task is sorted by; what has no value comes last either way, and names settle a tie."""
        name = name_key(task.name)
        if self._is_by_name:
            return name
        value = _value(task, self.sort)
        return (value is None, 0 if value is None else -value if self.falls else value, name)


def _value(task: TaskView, sort: Sort) -> float | None:
    newest = task.recent[-1] if task.recent else None
    if sort is Sort.STATE:
        return _STATES[state_of(task)]
    if sort is Sort.TOOK:
        return newest.seconds if newest else None
    moment: datetime | None = task.retry_at or task.next_execution_time
    if sort is Sort.LAST:
        moment = newest.finished_at if newest else None
    return moment.timestamp() if moment else None

"""The filter and the order of the tasks in a table. Pure.

The index is updated task by task, so that a change of one of ten thousand tasks does not touch the others.
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
    """A filter by state: its label, and which tasks match."""

    ALL = ("all", lambda _: True)
    RUNNING = ("running", lambda task: task.is_running)
    FAILING = ("failing", lambda task: task.is_error and not task.is_disabled and task.held_since is None)
    HELD_OR_PAUSED = ("held or paused", lambda task: not task.is_disabled and bool(task.pause or task.held_since))
    DISABLED = ("disabled", lambda task: task.is_disabled)
    CHANGED = ("with changed sources", lambda task: bool(task.source_changes))
    UNBUILT = ("not built", lambda task: task.build is None)

    @property
    def label(self) -> str:
        return str(self.value[0])

    @property
    def matches(self) -> Callable[[TaskView], bool]:
        fits: Callable[[TaskView], bool] = self.value[1]
        return fits


class Sort(Enum):
    """A sort order: the id of its column, a label, and whether it is descending by default."""

    NAME = ("name", "name", False)
    NEXT = ("next", "next run", False)
    LAST = ("last", "last run", True)
    TOOK = ("took", "duration", True)
    STATE = ("state", "state", False)

    @property
    def column(self) -> str:
        return self.value[0]

    @property
    def label(self) -> str:
        return self.value[1]

    @property
    def descending(self) -> bool:
        return self.value[2]


class TaskIndex:
    """The visible tasks in their order."""

    def __init__(self) -> None:
        self.text = ""
        self.status = StatusFilter.ALL
        self.sort = Sort.NAME
        self.descending = False
        self._settings: object = None
        self._sort_keys: dict[str, Key] = {}
        self._order: list[str] = []
        self._added: dict[str, None] = {}
        self._has_removals = False
        self._is_dirty = False

    # ── settings ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def next_sort(self) -> None:
        """Switch to the next sort order."""
        sorts = list(Sort)
        self.sort_by(sorts[(sorts.index(self.sort) + 1) % len(sorts)])

    def sort_by(self, sort: Sort) -> None:
        """Sort by ``sort``; if that is the current order, reverse it."""
        self.descending = not self.descending if sort is self.sort else sort.descending
        self.sort = sort

    def next_status(self, tasks: Iterable[TaskView]) -> None:
        """Switch to the next state that any task has; after the last one, to all tasks."""
        known, filters = list(tasks), list(StatusFilter)
        following = filters[filters.index(self.status) + 1 :]
        self.status = next((each for each in following if any(map(each.matches, known))), StatusFilter.ALL)

    def clear_filters(self) -> bool:
        """Show all tasks; return whether some may have been hidden."""
        was_filtered = self.is_filtered
        self.text, self.status = "", StatusFilter.ALL
        return was_filtered

    @property
    def is_filtered(self) -> bool:
        return bool(self.text) or self.status is not StatusFilter.ALL

    # ── tasks ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def invalidate(self) -> None:
        """Build the index again, because any task may have changed."""
        self._settings = None

    def update(self, task: TaskView) -> None:
        """Update a task that is new or has changed."""
        key = self._key(task) if self._matches(task) else None
        known = self._sort_keys.get(task.slug)
        if key == known:
            return
        self._is_dirty = True
        if key is None:
            del self._sort_keys[task.slug]
            self._has_removals = True
        else:
            self._sort_keys[task.slug] = key
            if known is None:
                self._has_removals = True  # an earlier one of that name may still be in the order
                self._added[task.slug] = None

    def remove(self, slug: str) -> None:
        """Remove a deleted task."""
        if self._sort_keys.pop(slug, None) is not None:
            self._is_dirty = self._has_removals = True

    def visible_slugs(self, tasks: Mapping[str, TaskView]) -> list[str]:
        """Return the slugs of the visible tasks, in order; the same list object while nothing changes."""
        settings = (self.text, self.status, self.sort, self.descending)
        if settings != self._settings:
            self._settings = settings
            self._sort_keys = {slug: self._key(task) for slug, task in tasks.items() if self._matches(task)}
            self._order, self._added, self._is_dirty = [], dict.fromkeys(self._sort_keys), True
        if self._is_dirty:
            order, keys, added = self._order, self._sort_keys, self._added
            if self._has_removals:
                order = [slug for slug in order if slug in keys and slug not in added]
            order = [*order, *(slug for slug in added if slug in keys)]
            order.sort(
                key=keys.__getitem__, reverse=self._is_by_name and self.descending
            )  # nearly sorted, which timsort makes cheap
            self._order, self._added, self._has_removals, self._is_dirty = order, {}, False, False
        return self._order

    @property
    def _is_by_name(self) -> bool:
        return self.sort is Sort.NAME

    def _matches(self, task: TaskView) -> bool:
        text = self.text.casefold()
        return self.status.matches(task) and (not text or text in task.name.casefold() or text in task.slug)

    def _key(self, task: TaskView) -> Key:
        """Return the sort key of a task: those without a value are last in both directions, ties are sorted by name."""
        name = name_key(task.name)
        if self._is_by_name:
            return name
        value = _value(task, self.sort)
        return (value is None, 0 if value is None else -value if self.descending else value, name)


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

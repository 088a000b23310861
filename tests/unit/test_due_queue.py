"""The due queue: which tasks are due, however often their due instants change."""

from __future__ import annotations

from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st
from planning import at

from keiji_engine.scheduler.due_queue import DueQueue


def test_tasks_are_due_in_order_until_they_are_rescheduled() -> None:
    queue = DueQueue()
    for slug, seconds in (("late", 20), ("early", 10), ("far", 99)):
        queue.set(slug, at(seconds))
    assert (queue.due(at(5)), queue.next_after(at(5))) == ([], at(10))
    assert (queue.due(at(20)), queue.next_after(at(20))) == (["early", "late"], at(99))
    assert queue.due(at(20), after=at(10)) == ["late"]
    assert queue.due(at(20), limit=1) == ["early"]
    assert queue.due(at(20), limit=1, newest_first=True) == ["late"]
    queue.set("early", at(30))
    queue.set("late", None)
    assert (queue.due(at(20)), queue.next_after(at(20))) == ([], at(30))


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.none() | st.integers(0, 50)), max_size=400), st.integers(0, 50))
def test_the_queue_agrees_with_a_full_scan(changes: list[tuple[str, int | None]], now: int) -> None:
    queue = DueQueue()
    expected: dict[str, datetime] = {}
    for slug, seconds in changes:
        queue.set(slug, None if seconds is None else at(seconds))
        expected.pop(slug, None)
        if seconds is not None:
            expected[slug] = at(seconds)
    due = sorted((moment, slug) for slug, moment in expected.items() if moment <= at(now))
    next_at = min((moment for moment in expected.values() if moment > at(now)), default=None)
    assert (queue.due(at(now)), queue.next_after(at(now))) == ([slug for _, slug in due], next_at)

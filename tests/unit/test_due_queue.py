"""Which tasks are due when, however often that changes."""

from __future__ import annotations

from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st
from planning import at

from keiji_engine.scheduler.due_queue import DueQueue


def test_what_is_due_comes_in_due_order_and_stays_due_until_it_is_put_off() -> None:
    agenda = DueQueue()
    for slug, seconds in (("late", 20), ("early", 10), ("far", 99)):
        agenda.put(slug, at(seconds))
    assert agenda.look(at(5)) == ([], at(10))
    assert agenda.look(at(20)) == (["early", "late"], at(99))
    assert agenda.look(at(20)) == (["early", "late"], at(99))
    agenda.put("early", at(30))
    agenda.put("late", None)
    assert agenda.look(at(20)) == ([], at(30))


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.none() | st.integers(0, 50)), max_size=400), st.integers(0, 50))
def test_it_tells_what_a_look_at_everything_would_tell(moves: list[tuple[str, int | None]], now: int) -> None:
    agenda = DueQueue()
    known: dict[str, datetime] = {}
    for slug, seconds in moves:
        agenda.put(slug, None if seconds is None else at(seconds))
        known.pop(slug, None)
        if seconds is not None:
            known[slug] = at(seconds)
        assert len(agenda._heap) <= 2 * len(known) + 65, "what is passed over does not pile up"
    due = sorted((moment, slug) for slug, moment in known.items() if moment <= at(now))
    following = min((moment for moment in known.values() if moment > at(now)), default=None)
    assert agenda.look(at(now)) == ([slug for _, slug in due], following)

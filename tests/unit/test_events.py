"""The event bus: order, base types, and subscribers that fail."""

from __future__ import annotations

import pytest

from keiji_engine.events import EventBus


class Event:
    pass


class Changed(Event):
    pass


class Removed(Event):
    pass


def test_events_arrive_in_the_order_of_publication_and_subscription() -> None:
    events, received = EventBus(), list[tuple[str, Event]]()
    events.subscribe(Changed, lambda event: received.append(("first", event)))
    events.subscribe(Changed, lambda event: received.append(("second", event)))
    one, two = Changed(), Changed()
    events.publish(one)
    events.publish(two)
    assert received == [("first", one), ("second", one), ("first", two), ("second", two)]


def test_a_subscriber_of_a_base_type_gets_the_derived_events() -> None:
    events, received = EventBus(), list[Event]()
    events.subscribe(Event, received.append)
    changed, removed = Changed(), Removed()
    events.publish(changed)
    events.publish(removed)
    assert received == [changed, removed]


def test_a_subscriber_does_not_get_events_of_other_types() -> None:
    events, received = EventBus(), list[Event]()
    events.subscribe(Changed, received.append)
    events.publish(Removed())
    events.publish(Event())
    assert received == []


def test_an_event_published_by_a_subscriber_is_delivered_within() -> None:
    events, received = EventBus(), list[str]()
    events.subscribe(Changed, lambda _: events.publish(Removed()))
    events.subscribe(Changed, lambda _: received.append("changed"))
    events.subscribe(Removed, lambda _: received.append("removed"))
    events.publish(Changed())
    assert received == ["removed", "changed"]


def test_a_subscriber_that_fails_is_logged_and_the_others_still_get_the_event(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(_: Changed) -> None:
        raise ValueError("boom")

    events, received = EventBus(), list[Event]()
    events.subscribe(Changed, fail)
    events.subscribe(Changed, received.append)
    events.subscribe(Event, received.append)
    changed = Changed()
    events.publish(changed)
    assert received == [changed, changed]
    [record] = caplog.records
    assert (record.name, record.levelname, record.getMessage()) == (
        "keiji.engine",
        "ERROR",
        "a subscriber failed on Changed",
    )
    assert "ValueError: boom" in caplog.text

"""How much output may be in transit to the terminal."""

from __future__ import annotations

from keiji_tui.terminal.flow_control import FlowControl


def transfer(rate: float, delay: float, seconds: float = 20.0) -> tuple[float, float]:
    """Send as much as possible over a simulated line.

    Args:
        rate: bytes per second.
        delay: seconds until a reply to the last byte arrives.

    Returns:
        The share of the line's capacity that was used, and the longest time in seconds that output waited, both in
        the second half of the time.
    """
    flow, now, free_at, sent, longest = FlowControl(), 0.0, 0.0, 0, 0.0
    replies: list[float] = []
    while now < seconds:
        while replies and replies[0] <= now:
            replies.pop(0)
            flow.acknowledge(now)
        if room := flow.room(now):
            room = min(room, 20_000) if sent or now else 100  # the first output sets modes
            free_at = max(free_at, now) + room / rate
            if flow.sent(room, now):
                replies.append(free_at + delay)
            if now > seconds / 2:
                sent, longest = sent + room, max(longest, free_at - now)
        now += 0.001
    return sent / (rate * seconds / 2), longest


def test_a_slow_line_is_used_well_without_long_queues() -> None:
    use, wait = transfer(5_000, 0.3)
    assert use > 0.8
    assert wait < 1.0


def test_a_fast_distant_line_is_not_slowed_down() -> None:
    use, _ = transfer(500_000, 0.3)
    assert use > 0.8


def test_a_terminal_that_never_replies_is_not_waited_for() -> None:
    flow = FlowControl()
    assert flow.sent(100, 0.0)
    assert flow.sent(5_000, 0.1)
    assert flow.room(0.2) == 0
    assert flow.deadline() == 2.0
    assert flow.room(2.1) > 100_000
    assert not flow.sent(100_000, 2.2)
    assert flow.deadline() is None


def test_a_lost_reply_does_not_stop_the_output() -> None:
    flow = FlowControl()
    assert flow.sent(100, 0.0)
    flow.acknowledge(0.1)
    assert flow.sent(8_192, 1.0)
    assert flow.room(1.1) == 0
    assert flow.room(12.0) > 0
    flow.acknowledge(12.1)  # too late: it acknowledges nothing
    assert flow.sent(8_192, 13.0)
    assert flow.room(13.1) == 0


def test_small_updates_are_not_acknowledged_one_by_one() -> None:
    flow = FlowControl()
    assert flow.sent(100, 0.0)
    flow.acknowledge(0.01)
    assert [flow.sent(20, second) for second in range(1, 14)] == [False] * 12 + [True]

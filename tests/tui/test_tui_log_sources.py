"""Where lines come from: one log, gone through in both directions."""

from __future__ import annotations

from fake_link import FakeLink

from keiji_tui.logs.slices import backwards, forwards
from keiji_tui.logs.source import TaskLog


async def test_a_log_is_gone_through_in_both_directions_up_to_where_it_was_pruned() -> None:
    data = b"".join(b"%06d\n" % number for number in range(200_000))
    link = FakeLink()
    link.files["a"], link.oldest["a"] = data, 7 * 1_000
    log = TaskLog(link, "a")
    down = [line.raw async for piece in forwards(log, 0) for line in piece.lines()]
    up = [line.raw async for piece in backwards(log, len(data)) for line in reversed(piece.lines())]
    assert down == up[::-1]
    assert (down[0], down[-1], len(down)) == ("001000", "199999", 199_000)
    some = [line.raw async for piece in forwards(log, 7 * 5_000, 7 * 5_003) for line in piece.lines()]
    assert some == ["005000", "005001", "005002"]

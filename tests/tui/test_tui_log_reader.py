"""When a log is being scanned for lines that its filter selects."""

from __future__ import annotations

import asyncio
from pathlib import Path

from waiting import eventually

from keiji_tui.engine.service_logs import ServiceLogs
from keiji_tui.logs.match_client import MatchClient
from keiji_tui.logs.match_protocol import LineFilter
from keiji_tui.logs.reader import LogReader
from keiji_tui.logs.source import TaskLog


async def test_a_scan_ends_when_its_last_lines_are_shown(tmp_path: Path) -> None:
    """Escape stops a scan, or removes the filter if there is none. It must not find a scan that has ended."""
    log = tmp_path / "scheduler.log"
    log.write_text("the planner began\nscheduler online\n")
    source, client = TaskLog(ServiceLogs(lambda _: log), "scheduler"), MatchClient()
    scans: list[tuple[int, bool]] = []
    reader = LogReader(client, lambda: scans.append((len(reader.buffer), reader.is_scanning)))
    follow = source.follow()
    reader.receive(await anext(follow))
    reading = asyncio.create_task(reader.run(source))
    try:
        await eventually(lambda: (2, False) in scans, "both lines are shown")
        scans.clear()
        reader.set_filter(LineFilter("began"))
        await eventually(lambda: (1, False) in scans, "only one line is shown")
        assert (1, True) not in scans
    finally:
        reading.cancel()
        client.close()
        await follow.aclose()  # type: ignore[attr-defined]

"""How far a run has got, in the table: as much of it as there is room for."""

from __future__ import annotations

import pytest
from scenes import NOW, before, task

from keiji.records import Progress
from keiji_tui.state.store import Store
from keiji_tui.widgets.task_row import task_cells


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        (None, ["running 2m 11s", "2m 11s"]),
        (
            Progress(fraction=0.61),
            [
                "running 2m 11s ▓▓▓▓▓▓░░░░ 61%",
                "▓▓▓▓▓▓░░░░ 61%",
                "running 2m 11s 61%",
                "running 2m 11s",
                "2m 11s",
            ],
        ),
        (Progress(message="copying [b]\x1b[2J"), ["running 2m 11s copying [b]", "running 2m 11s", "2m 11s"]),
    ],
)
def test_progress_is_shown_as_a_bar_and_a_percentage(progress: Progress | None, expected: list[str]) -> None:
    running = task("backup", is_running=True, running=1, running_since=before(seconds=131), progress=progress)
    shown = task_cells(running, Store(), NOW)["next"]
    assert isinstance(shown, list)
    assert [content.plain for content in shown] == expected


def test_the_message_of_the_progress_is_shown_if_it_fits() -> None:
    told = Progress(fraction=1.0, message="the last part")
    running = task("backup", is_running=True, running=1, running_since=before(seconds=131), progress=told)
    shown = task_cells(running, Store(), NOW)["next"]
    assert isinstance(shown, list)
    assert shown[0].plain == "running 2m 11s ▓▓▓▓▓▓▓▓▓▓ 100% the last part"
    assert shown[3].plain == "▓▓▓▓▓▓▓▓▓▓ 100%"

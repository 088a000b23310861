"""When or on what event a task runs next, in the table: in its own time zone, if it has one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from scenes import NOW, snapshot, task
from textual.content import Content

from keiji_engine.bus.views import TaskView
from keiji_tui.state.store import Store
from keiji_tui.widgets.task_row import task_cells


def next_of(view: TaskView) -> str:
    store = Store()
    store.apply(snapshot([view]), NOW)
    shown = task_cells(view, store, NOW)["next"]
    assert isinstance(shown, Content)
    return shown.plain


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"events": ("manual",)}, "manual"),
        ({"events": ("at start",)}, "at start"),
        ({"events": ("on change of /data/in/*.csv",)}, "on change"),
        ({"events": ("at start", "on change of /data")}, "on event"),
        ({"events": ()}, "never"),
        ({"events": ("at start",), "next_execution_time": NOW + timedelta(minutes=5)}, "in 5m"),
        ({"next_execution_time": NOW + timedelta(hours=3)}, "today 16:31"),
        ({"next_execution_time": NOW + timedelta(hours=3), "zone": "America/New_York"}, "today 08:31 EST"),
        ({"retry_at": NOW + timedelta(hours=3), "zone": "America/New_York"}, "retry today 08:31 EST"),
    ],
)
def test_the_next_run_of_a_task(changes: dict[str, Any], expected: str) -> None:
    assert next_of(task("ping", **{"next_execution_time": None, **changes})) == expected

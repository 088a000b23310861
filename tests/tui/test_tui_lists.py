"""The list of tasks: sorting, kinds, marks, what is done to all that are marked, copying; and that places are kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fake_link import FakeLink
from piloting import choose, press, running, said, sees, table, text_of, verbs
from scenes import NOW, PAUSE, after, before, live, recent, snapshot, task, tasks
from textual.pilot import Pilot
from waiting import until

from keiji.errors import AlreadyRunning
from keiji_engine.bus.protocol import Disable, Enable, PauseTask, RunTask, StopRun, TaskChanged, TaskRemoved
from keiji_engine.bus.views import LinkChanged, LinkState
from keiji_tui.app import ControlCenter
from keiji_tui.screens.dialogs import ConfirmScreen

# ── sorting ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_s_sorts_by_the_next_column_and_the_header_says_which_way() -> None:
    app, _ = live(
        task("a", next_execution_time=after(hours=2), recent=recent(5, ended=before(hours=1))),
        task("b", next_execution_time=after(seconds=9), recent=recent(900, ended=before(hours=3))),
        task("c", next_execution_time=None, is_disabled=True),
    )
    async with running(app, (140, 30)) as pilot:
        await until(pilot, sees(app, "NAME ↑"))
        for arrow, order in (("NEXT ↑", "bac"), ("LAST ↓", "abc"), ("TOOK ↓", "bac"), (" ↑  NAME", "abc")):
            await press(pilot, "S")
            await until(pilot, sees(app, arrow), arrow)
            assert app.store.visible_slugs() == list(order), arrow
        await press(pilot, "S", "S", "I")
        await until(pilot, sees(app, "NEXT ↓", "by next run ↓"))
        assert app.store.visible_slugs() == ["a", "b", "c"], "what is never due stays last"
        await press(pilot, "S", "S", "S", "S", "I")
        await until(pilot, sees(app, "NAME ↓"))
        assert app.store.visible_slugs() == ["c", "b", "a"]


async def test_a_click_on_a_title_sorts_and_a_second_one_turns_it_round() -> None:
    app, _ = live()
    async with running(app) as pilot:
        await until(pilot, sees(app, "NEXT"))
        at = next(line.index("NEXT") for line in text_of(app).splitlines() if "NEXT" in line)
        for arrow in ("NEXT ↑", "NEXT ↓"):
            await pilot.click("#tasks", offset=(at, 0))
            await until(pilot, sees(app, arrow))


async def test_a_row_moves_when_what_it_is_sorted_by_changes() -> None:
    app, link = live(*[task(f"t{number}", next_execution_time=after(minutes=number)) for number in range(5)])
    async with running(app) as pilot:
        await press(pilot, "S")
        link.happen(TaskChanged(task=task("t4", next_execution_time=after(seconds=2))))
        await until(pilot, lambda: app.store.visible_slugs() == ["t0", "t4", "t1", "t2", "t3"])
        link.happen(TaskRemoved(slug="t0"), TaskChanged(task=task("new", next_execution_time=after(seconds=90))))
        await until(pilot, lambda: app.store.visible_slugs() == ["t4", "t1", "new", "t2", "t3"])


# ── kinds ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_f_shows_one_kind_after_the_other_and_escape_shows_all() -> None:
    app, link = live(
        task("fails", is_error=True), task("off", is_disabled=True), task("runs", is_running=True, running_since=NOW),
        task("kept", pause=PAUSE), task("edited", source_changes=("a.py",)), task("fresh", build=None), task("well"),
    )  # fmt: skip
    async with running(app) as pilot:
        for slug, word in (
            ("runs", "running"), ("fails", "failing"), ("kept", "held or paused"), ("off", "disabled"),
            ("edited", "with changed sources"), ("fresh", "not built"),
        ):  # fmt: skip
            await press(pilot, "f")
            await until(pilot, lambda wanted=slug: app.store.visible_slugs() == [wanted], slug)
            await until(pilot, sees(app, f"1 of 7 {word}"))
        await press(pilot, "f")
        await until(pilot, lambda: len(app.store.visible_slugs()) == 7)
        await press(pilot, "f", "slash", "r", "enter")
        await until(pilot, sees(app, "1 of 7 running with “r”"))
        link.happen(TaskChanged(task=task("runs")))
        await until(pilot, sees(app, "no task matches the filter: running, “r” – esc shows all"))
        await press(pilot, "escape")
        await until(pilot, lambda: len(app.store.visible_slugs()) == 7)


async def test_kinds_of_which_there_are_none_are_passed_over() -> None:
    app, _ = live(task("a"), task("b", is_disabled=True))
    async with running(app) as pilot:
        await press(pilot, "f")
        await until(pilot, lambda: app.store.visible_slugs() == ["b"])
        await press(pilot, "f")
        await until(pilot, lambda: app.store.visible_slugs() == ["a", "b"])


# ── marks ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def marked(app: ControlCenter) -> list[str]:
    """Return the rows that bear a mark on the screen."""
    return [line for line in text_of(app).splitlines() if line.startswith("*")]


async def test_marks_are_counted_shown_and_taken_away() -> None:
    app, _ = live(task("a"), task("b"), task("c"))
    async with running(app) as pilot:
        await press(pilot, "space", "j", "space")
        await until(pilot, sees(app, "2 marked"))
        assert [line.split()[1] for line in marked(app)] == ["●", "●"] or len(marked(app)) == 2
        assert list(app.store.marks) == ["a", "c"]
        await press(pilot, "space")
        await until(pilot, sees(app, "1 marked"))
        await press(pilot, "escape")
        await until(pilot, lambda: "marked" not in text_of(app) and not marked(app))


async def test_a_directive_for_all_marked_is_asked_once_and_summed_up() -> None:
    running_one: dict[str, Any] = {"is_running": True, "running_since": NOW}
    app, link = live(
        task("a", **running_one), task("b"), task("c", **running_one), task("[d]", slug="d", **running_one)
    )
    link.answer = lambda directive: AlreadyRunning("c [/b] is gone") if directive.target == "c" else None
    async with running(app) as pilot:
        for slug in ("a", "b", "c", "d"):
            await choose(pilot, app, slug)
            await press(pilot, "space")
        await choose(pilot, app, "b")
        await press(pilot, "x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await until(pilot, sees(app, "Stop 3 marked tasks?", "a, c, [d]", "Skipped: b is not running", "and 2 more"))
        await press(pilot, "enter")
        await until(pilot, lambda: not isinstance(app.screen, ConfirmScreen))
        assert not link.sent, "the focus is on Cancel"
        await press(pilot, "x", "y")
        await until(pilot, lambda: said(app))
        assert verbs(link) == [StopRun] * 3
        assert said(app) == ["stop: 2 tasks done, 1 failed\n✗ c: c [/b] is gone\nskipped: b is not running"]
        assert len(app.store.marks) == 4, "what is marked stays so, for the next key"


@pytest.mark.parametrize(
    ("key", "other", "forth", "back"),
    [("e", {"is_disabled": True}, Disable, Enable), ("p", {"pause": PAUSE}, PauseTask, None)],
)
async def test_what_has_a_way_back_goes_one_way_for_all(
    key: str, other: dict[str, Any], forth: type, back: type | None
) -> None:
    app, link = live(task("a"), task("b", **other))
    async with running(app) as pilot:
        await press(pilot, "space", "space", key)
        await until(pilot, sees(app, "1 marked task?", "already"))
        await press(pilot, "y")
        await until(pilot, lambda: verbs(link) == [forth])
        if back is not None:
            link.happen(TaskChanged(task=task("a", **other)))
            await until(pilot, lambda: app.store.tasks["a"].is_disabled)
            await press(pilot, key, "y")
            await until(pilot, lambda: verbs(link)[1:] == [back, back])


async def test_nothing_is_asked_where_nothing_can_be_done() -> None:
    app, link = live(task("a"), task("b"))
    async with running(app) as pilot:
        await press(pilot, "space", "space", "x")
        await until(pilot, lambda: said(app) == ["a is not running"])
        link.die()
        await until(pilot, lambda: app.store.link is LinkState.OFFLINE)
        await press(pilot, "r")
        await until(pilot, lambda: said(app) == ["the engine is offline – press s to start it"])
        assert not link.sent


async def test_without_marks_a_directive_is_about_the_selected_task() -> None:
    app, link = live(task("a"), task("b"))
    async with running(app) as pilot:
        await press(pilot, "space", "escape", "r")
        await until(pilot, lambda: verbs(link) == [RunTask])
        assert link.sent[0].target == "b"


async def test_names_and_commands_are_copied() -> None:
    app, _ = live(task("a [b]", slug="a_b"), task("c"))
    async with running(app) as pilot:
        await press(pilot, "y")
        await until(pilot, lambda: app.clipboard == "a [b]")
        await until(pilot, lambda: said(app) == ["sent to the terminal's clipboard (OSC 52): a [b]"])
        await press(pilot, "space", "space", "Y")
        await until(pilot, lambda: app.clipboard == "keiji task run a_b\nkeiji task run c")
        await until(pilot, lambda: said(app)[-1].endswith("(OSC 52): keiji task run a_b and 1 more"))


# ── places are kept ──────────────────────────────────────────────────────────────────────────────────────────────────


def spot(app: ControlCenter) -> tuple[str | None, int, bool]:
    """Return what is selected, in which line of the table it stands, and whether the table has the focus."""
    shown = table(app)
    index = shown._index_of.get(shown.selected or "", -1)
    return shown.selected, index - shown.scroll_offset.y, shown.has_focus


def many(**changes: Any) -> list[Any]:
    return [
        task(f"task_{number:03}", next_execution_time=after(minutes=(7 * number + 50) % 97), **changes)
        for number in range(200)
    ]


async def _sorted(pilot: Pilot[None], app: ControlCenter, link: FakeLink) -> None:
    await press(pilot, "S")
    await until(pilot, lambda: app.store.visible_slugs()[0] != "task_000")


async def _filtered(pilot: Pilot[None], app: ControlCenter, link: FakeLink) -> None:
    await press(pilot, "slash", *"task_1", "enter")
    await until(pilot, lambda: len(app.store.visible_slugs()) == 100)


async def _refreshed(pilot: Pilot[None], app: ControlCenter, link: FakeLink) -> None:
    link.happen(*(TaskChanged(task=task(f"new_{number}")) for number in range(20)), TaskRemoved(slug="task_001"))
    await until(pilot, lambda: len(table(app)._keys) == 219)


async def _reconnected(pilot: Pilot[None], app: ControlCenter, link: FakeLink) -> None:
    link.tell(LinkChanged(LinkState.STALE, "late"))
    link.die()
    await until(pilot, sees(app, "engine offline"))
    link.come_back(snapshot([*many(), task("another")], boot="boot-2"))
    await until(pilot, lambda: len(table(app)._keys) == 201)


@pytest.mark.parametrize("change", [_sorted, _filtered, _refreshed, _reconnected])
async def test_selection_scroll_marks_and_focus_are_kept(
    change: Callable[[Pilot[None], ControlCenter, FakeLink], Any],
) -> None:
    app, link = live(*many())
    async with running(app) as pilot:
        await choose(pilot, app, "task_150")
        await press(pilot, "space", *"kkkk")
        kept = spot(app)
        assert kept[0] == "task_147"
        await change(pilot, app, link)
        await until(pilot, lambda: spot(app) == kept, f"{spot(app)} {kept}")
        assert list(app.store.marks) == ["task_150"]


async def test_what_somebody_scrolled_to_stays_though_the_selection_is_elsewhere() -> None:
    app, link = live(*many())
    async with running(app) as pilot:
        shown = table(app)
        shown.scroll_to(y=100, animate=False, immediate=True)
        await until(pilot, lambda: shown.scroll_offset.y == 100)
        link.happen(*(TaskChanged(task=task(f"a_{number}")) for number in range(7)))
        await until(pilot, lambda: shown.scroll_offset.y == 107)
        assert shown.selected == "task_000"


async def test_marks_of_what_is_gone_go_with_it() -> None:
    app, link = live(task("a"), task("b"), task("c"))
    async with running(app) as pilot:
        await press(pilot, "space", "space", "space")
        link.happen(TaskRemoved(slug="a"))
        await until(pilot, lambda: list(app.store.marks) == ["b", "c"])
        link.come_back(snapshot([task("c")], boot="boot-2"))
        await until(pilot, lambda: list(app.store.marks) == ["c"])
        assert len(tasks()) > 1

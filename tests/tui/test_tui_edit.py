"""A task's file in an editor."""

from __future__ import annotations

from pathlib import Path

import pytest
from piloting import press, running, said, sees
from scenes import live, task
from waiting import until

from keiji.errors import KeijiError
from keiji_engine.bus.protocol import TaskChanged
from keiji_tui.app import ControlCenter
from keiji_tui.external import in_editor


async def test_e_opens_the_function_and_then_the_rebuild_is_offered(tmp_path: Path) -> None:
    edited: list[Path] = []

    def edit(app: object, file: Path) -> None:
        edited.append(file)
        link.happen(TaskChanged(task=task("a", source_path=str(tmp_path), source_changes=("function.py",))))

    app, link = live(task("a", source_path=str(tmp_path)), edit=edit)
    async with running(app) as pilot:
        await press(pilot, "E")
        await until(pilot, lambda: edited == [tmp_path / "function.py"])
        await until(pilot, sees(app, "sources of a differ: function.py", "b rebuild and restart"))


async def test_without_an_editor_it_is_said_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.delenv("EDITOR", raising=False)
    app, _ = live(task("a"))
    async with running(app) as pilot:
        await press(pilot, "E")
        await until(pilot, lambda: said(app))
        assert "neither $VISUAL nor $EDITOR is set" in said(app)[0]
        assert "export EDITOR=nano" in said(app)[0]


@pytest.mark.parametrize(
    ("editor", "is_there", "reason"),
    [
        ("vi 'x", True, "cannot be read: No closing quotation"),
        ("vi", False, "function.py is not there"),
        ("true", True, "this terminal cannot be handed to another program"),
        ("/no/such -w", True, "/no/such cannot be started: there is no such program"),
    ],
)
async def test_why_it_cannot_be_edited_is_said(
    editor: str, is_there: bool, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISUAL", editor)
    file = tmp_path / "function.py"
    if is_there:
        file.touch()
    app, _ = live(task("a", source_path=str(tmp_path)))
    async with running(app) as pilot:
        await press(pilot, "E")
        await until(pilot, lambda: any(reason in text for text in said(app)), reason)


class Lent(ControlCenter):
    """A terminal that can be handed over, without there being one."""

    def suspend(self):  # type: ignore[no-untyped-def]
        from contextlib import nullcontext

        return nullcontext()


@pytest.mark.parametrize(
    ("editor", "reason"), [("false", "false ended with 1"), ("/nowhere/vi", "cannot be started"), ("true", "")]
)
def test_an_editor_that_fails_is_told(
    editor: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISUAL", editor)
    file = tmp_path / "function.py"
    file.touch()
    app = Lent.__new__(Lent)
    if not reason:
        in_editor(app, file)
        return
    with pytest.raises(KeijiError, match=reason):
        in_editor(app, file)

"""Programs that use the terminal: the editor for a task's file, and the pager."""

from __future__ import annotations

from pathlib import Path

import pytest
from piloting import press, running, said, sees
from scenes import live, task
from waiting import until

from keiji.errors import KeijiError
from keiji_engine.bus.protocol import TaskChanged
from keiji_tui.app import ControlCenter
from keiji_tui.external import open_in_editor


async def test_e_edits_the_function_and_then_a_rebuild_is_offered(tmp_path: Path) -> None:
    edited: list[Path] = []

    def edit(app: object, file: Path) -> None:
        edited.append(file)
        link.happen(TaskChanged(task=task("a", source_path=str(tmp_path), source_changes=("function.py",))))

    app, link = live(task("a", source_path=str(tmp_path)), edit=edit)
    async with running(app) as pilot:
        await press(pilot, "E")
        await until(pilot, lambda: edited == [tmp_path / "function.py"])
        await until(pilot, sees(app, "sources of a differ: function.py", "b rebuild and restart"))


async def test_without_an_editor_the_message_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.delenv("EDITOR", raising=False)
    app, _ = live(task("a"))
    async with running(app) as pilot:
        await press(pilot, "E")
        await until(pilot, lambda: said(app))
        assert "neither $VISUAL nor $EDITOR is set" in said(app)[0]
        assert "export EDITOR=nano" in said(app)[0]


@pytest.mark.parametrize(
    ("editor", "exists", "reason"),
    [
        ("vi 'x", True, "$VISUAL is invalid: No closing quotation"),
        ("vi", False, "function.py does not exist"),
        ("true", True, "this terminal cannot run other programs"),
        ("/no/such -w", True, "cannot start /no/such: command not found"),
    ],
)
async def test_the_user_sees_why_a_file_cannot_be_edited(
    editor: str, exists: bool, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISUAL", editor)
    file = tmp_path / "function.py"
    if exists:
        file.touch()
    app, _ = live(task("a", source_path=str(tmp_path)))
    async with running(app) as pilot:
        await press(pilot, "E")
        await until(pilot, lambda: any(reason in text for text in said(app)), reason)


class SuspendableApp(ControlCenter):
    """An application that can be suspended without a terminal."""

    def suspend(self):  # type: ignore[no-untyped-def]
        from contextlib import nullcontext

        return nullcontext()


@pytest.mark.parametrize(
    ("editor", "reason"), [("false", "false exited with code 1"), ("/nowhere/vi", "cannot start"), ("true", "")]
)
def test_an_editor_that_fails_is_reported(
    editor: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISUAL", editor)
    file = tmp_path / "function.py"
    file.touch()
    app = SuspendableApp.__new__(SuspendableApp)
    if not reason:
        open_in_editor(app, file)
        return
    with pytest.raises(KeijiError, match=reason):
        open_in_editor(app, file)

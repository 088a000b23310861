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


async def test_without_an_editor_the_message_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.delenv("EDITOR", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    app, _ = live(task("a"))
    async with running(app) as pilot:
        await press(pilot, "E")
        await until(pilot, lambda: said(app))
        assert "$VISUAL and $EDITOR are not set" in said(app)[0]
        assert "export EDITOR=nano" in said(app)[0]


@pytest.mark.parametrize(
    ("editor", "exists", "reason"),
    [
        ("vi 'x", True, "$VISUAL is invalid: No closing quotation"),
        ("true", False, "cannot edit function.py: {tmp_path}/function.py does not exist"),
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
        await until(pilot, lambda: any(reason.format(tmp_path=tmp_path) in text for text in said(app)), reason)


@pytest.mark.parametrize(("kept", "missing"), [("workspace/tasks", "a"), ("workspace", "tasks"), ("", "workspace")])
def test_a_deleted_folder_is_named(kept: str, missing: str, tmp_path: Path) -> None:
    folder = tmp_path / kept
    folder.mkdir(parents=True, exist_ok=True)
    with pytest.raises(KeijiError, match=f"cannot edit function.py: {folder / missing} does not exist$"):
        open_in_editor(SuspendableApp.__new__(SuspendableApp), tmp_path / "workspace" / "tasks" / "a" / "function.py")


@pytest.mark.parametrize("installed", [("sensible-editor", "vi", "nano"), ("vi", "nano"), ("nano",)])
def test_without_visual_and_editor_the_first_installed_editor_is_used(
    installed: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.delenv("EDITOR", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in installed:
        editor = tmp_path / name
        editor.write_text(f'#!/bin/sh\necho {name} > "$1"\n')
        editor.chmod(0o700)
    file = tmp_path / "function.py"
    file.touch()
    open_in_editor(SuspendableApp.__new__(SuspendableApp), file)
    assert file.read_text().strip() == installed[0]


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

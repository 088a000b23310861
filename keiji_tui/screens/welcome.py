"""The text shown instead of an empty table: why it is empty, and the keys or commands to continue."""

from __future__ import annotations

from textual.content import Content

from keiji.errors import KeijiError, WorkspaceMissing
from keiji_engine.bus.views import LinkState
from keiji_tui.actions.catalog import BY_ID
from keiji_tui.state.store import Store
from keiji_tui.state.task_index import StatusFilter
from keiji_tui.text.sanitise import plain


def welcome(store: Store, *, readonly: bool) -> Content | None:
    """Return the text for a workspace without tasks or without an engine; None if there are tasks."""
    if store.tasks:
        return None
    if store.engine is None and store.link is LinkState.OFFLINE:
        return _no_engine(store, readonly=readonly)
    if store.engine is None:
        return Content.styled("connecting to the engine …", "$text-muted")
    return _no_tasks(readonly=readonly)


def nothing_shown(store: Store) -> Content:
    """Return the text for a table whose tasks are all hidden by the filter."""
    listing = store.index
    kind = listing.status.label if listing.status is not StatusFilter.ALL else ""
    text = f"“{plain(listing.text, 40)}”" if listing.text else ""
    return Content.assemble(
        (f"   no task matches the filter: {', '.join(filter(None, (kind, text)))}", "$text-muted"),
        (" – ", "$text-muted"), (BY_ID["back"].key, "bold $key"), (" shows all", "$text-muted"),
    )  # fmt: skip


def _title(text: str) -> tuple[str, str]:
    return (f"{text}\n\n", "bold")


def _no_engine(store: Store, *, readonly: bool) -> Content:
    if store.engine_is_running:
        return Content.assemble(
            _title("The engine is not responding."),
            f"{plain(store.link_reason)}\n\n",
            (BY_ID["start-engine"].key, "bold $key"), "  start its stopped services\n\n",
            ("keiji system status", "$text-accent"), ("  show its status\n", "$text-muted"),
            ("keiji system restart", "$text-accent"), (" restart it; live runs continue", "$text-muted"),
        )  # fmt: skip
    trouble = store.workspace_error
    if isinstance(trouble, WorkspaceMissing):
        return _no_workspace(store, trouble, readonly=readonly)
    start = ("", "") if readonly else (f"{BY_ID['start-engine'].key}", "bold $key")
    if trouble is not None:
        return Content.assemble(
            _title("The engine cannot start because the settings are invalid."),
            *_error(trouble),
            "Correct the file; it is reloaded automatically.",
            *("", "") if readonly else (" Then press ", start, " to start the engine."), "\n\n", *_general_keys(),
        )  # fmt: skip
    return Content.assemble(
        _title("No engine is running."), *_error(store.start_error),
        "The engine runs your tasks in the background, even after you quit this terminal.\n\n",
        start, "" if readonly else "  start the engine\n", *_general_keys(),
        ("On the command line: ", "$text-muted"), ("keiji system start", "$text-accent"),
    )  # fmt: skip


def _no_workspace(store: Store, trouble: WorkspaceMissing, *, readonly: bool) -> Content:
    title = plain(trouble.message)
    key = ("", "") if readonly else (BY_ID["make-workspace"].key, "bold $key")
    return Content.assemble(
        _title(f"{title[0].upper()}{title[1:]}."), *_error(store.start_error),
        "A workspace is a folder that holds your tasks and the engine settings.\n\n",
        key, "" if readonly else "  create it and start the engine\n", *_general_keys(),
        ("On the command line: ", "$text-muted"), ("keiji init", "$text-accent"), (", then ", "$text-muted"),
        ("keiji system start", "$text-accent"),
    )  # fmt: skip


def _general_keys() -> list[Content | tuple[str, str] | str]:
    return [
        (f"{BY_ID['help'].key}", "bold $key"), "  show the keys\n",
        (f"{BY_ID['quit'].key}", "bold $key"), "  quit\n\n",
    ]  # fmt: skip


def _error(error: KeijiError | None) -> list[tuple[str, str]]:
    if error is None:
        return []
    lines = [plain(line) for line in (*error.message.splitlines(), *error.hint.splitlines()) if line.strip()]
    return [("\n".join(lines), "$text-error"), ("\n\n", "")]


def _no_tasks(*, readonly: bool) -> Content:
    key = ("", "") if readonly else (BY_ID["new-task"].key, "bold $key")
    return Content.assemble(
        _title("There are no tasks yet."),
        key, "" if readonly else "  create a task\n\n",
        "On the command line:\n\n",
        ('keiji task create ping_google --desc="pings google"', "$text-accent"), "\n",
        ("keiji task build ping_google", "$text-accent"), "\n\n",
        ("The first command creates function.py (what to run) and schedule.py (when to run it) for you to fill in. "
         "The second makes the task ready to run; it then appears here.", "$text-muted"),
    )  # fmt: skip

"""What stands in place of an empty table: why it is empty, and the key or command that goes on."""

from __future__ import annotations

from textual.content import Content

from keiji.errors import KeijiError, WorkspaceMissing
from keiji_engine.bus.views import LinkState
from keiji_tui.actions.catalog import BY_ID
from keiji_tui.state.store import Store
from keiji_tui.state.task_index import StatusFilter
from keiji_tui.text.sanitise import plain


def welcome(store: Store, *, readonly: bool) -> Content | None:
    """Return what to say where there is nothing to show; None where there is."""
    if store.tasks:
        return None
    if store.engine is None and store.link is LinkState.OFFLINE:
        return _no_engine(store, readonly=readonly)
    if store.engine is None:
        return Content.styled("connecting to the engine …", "$text-muted")
    return _no_tasks(readonly=readonly)


def nothing_shown(store: Store) -> Content:
    """Return what stands in the table where there are tasks and all of them are hidden."""
    listing = store.index
    kind = f"{listing.status.label} " if listing.status is not StatusFilter.ALL else ""
    text = f" with “{plain(listing.text, 40)}”" if listing.text else ""
    return Content.assemble(
        (f"   no task is {kind.strip()}{text}" if kind else f"   no task{text}", "$text-muted"),
        (" – ", "$text-muted"), (BY_ID["back"].key, "bold $key"), (" shows all", "$text-muted"),
    )  # fmt: skip


def _title(text: str) -> tuple[str, str]:
    return (f"{text}\n\n", "bold")


def _no_engine(store: Store, *, readonly: bool) -> Content:
    if store.engine_is_running:
        return Content.assemble(
            _title("The engine does not answer."),
            f"{plain(store.link_reason)}\n\n",
            (BY_ID["start-engine"].key, "bold $key"), "  starts what is stopped of it\n\n",
            ("keiji system status", "$text-accent"), ("  shows how it does\n", "$text-muted"),
            ("keiji system restart", "$text-accent"), (" starts it anew; runs that are under way go on", "$text-muted"),
        )  # fmt: skip
    trouble = store.workspace_error
    if isinstance(trouble, WorkspaceMissing):
        return _no_workspace(store, trouble, readonly=readonly)
    start = ("", "") if readonly else (f"{BY_ID['start-engine'].key}", "bold $key")
    if trouble is not None:
        return Content.assemble(
            _title("The settings cannot be used, so no engine can be started."),
            *_error(trouble),
            "Put that right: the file is read again by itself.",
            *("", "") if readonly else (" Then ", start, " starts the engine."), "\n\n", *_way_out(),
        )  # fmt: skip
    return Content.assemble(
        _title("No engine is running."), *_error(store.start_error),
        "The engine runs your tasks in the background, also after you leave this screen.\n\n",
        start, "" if readonly else "  starts it\n", *_way_out(),
        ("On the command line: ", "$text-muted"), ("keiji system start", "$text-accent"),
    )  # fmt: skip


def _no_workspace(store: Store, trouble: WorkspaceMissing, *, readonly: bool) -> Content:
    title = plain(trouble.message)
    make = ("", "") if readonly else (BY_ID["make-workspace"].key, "bold $key")
    return Content.assemble(
        _title(f"{title[0].upper()}{title[1:]}."), *_error(store.start_error),
        "A workspace is a folder with your tasks and the settings of their engine.\n\n",
        make, "" if readonly else "  makes it, and starts the engine\n", *_way_out(),
        ("On the command line: ", "$text-muted"), ("keiji init", "$text-accent"), (", then ", "$text-muted"),
        ("keiji system start", "$text-accent"),
    )  # fmt: skip


def _way_out() -> list[Content | tuple[str, str] | str]:
    return [
        (f"{BY_ID['help'].key}", "bold $key"), "  shows the keys\n",
        (f"{BY_ID['quit'].key}", "bold $key"), "  leaves\n\n",
    ]  # fmt: skip


def _error(error: KeijiError | None) -> list[tuple[str, str]]:
    if error is None:
        return []
    lines = [plain(line) for line in (*error.message.splitlines(), *error.hint.splitlines()) if line.strip()]
    return [("\n".join(lines), "$text-error"), ("\n\n", "")]


def _no_tasks(*, readonly: bool) -> Content:
    here = ("", "") if readonly else (BY_ID["new-task"].key, "bold $key")
    return Content.assemble(
        _title("There are no tasks yet."),
        here, "" if readonly else "  makes one: what it is called, and when it runs\n\n",
        "On the command line:\n\n",
        ('keiji task create ping_google --desc="pings google"', "$text-accent"), "\n",
        ("keiji task build ping_google", "$text-accent"), "\n\n",
        ("The first writes function.py (what) and schedule.py (when) for you to fill in. The second makes it ready "
         "to run; it appears here at once.", "$text-muted"),
    )  # fmt: skip

"""What stands in place of an empty table: why it is empty, and the key or command that goes on."""

from __future__ import annotations

from textual.content import Content

from keiji_engine.bus.views import LinkState
from keiji_tui.keymap import BY_ID
from keiji_tui.listing import Only
from keiji_tui.logs.sanitise import plain
from keiji_tui.store import Store


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
    listing = store.listing
    kind = f"{listing.only.word} " if listing.only is not Only.ALL else ""
    text = f" with “{plain(listing.filter, 40)}”" if listing.filter else ""
    return Content.assemble(
        (f"   no task is {kind.strip()}{text}" if kind else f"   no task{text}", "$text-muted"),
        (" – ", "$text-muted"), (BY_ID["back"].key, "bold $key"), (" shows all", "$text-muted"),
    )  # fmt: skip


def _title(text: str) -> tuple[str, str]:
    return (f"{text}\n\n", "bold")


def _no_engine(store: Store, *, readonly: bool) -> Content:
    if store.engine_lives:
        return Content.assemble(
            _title("The engine does not answer."),
            f"{plain(store.link_reason)}\n\n",
            (BY_ID["start-engine"].key, "bold $key"), "  starts what is stopped of it\n\n",
            ("keiji system status", "$text-accent"), ("  shows how it does\n", "$text-muted"),
            ("keiji system restart", "$text-accent"), (" starts it anew; runs that are under way go on", "$text-muted"),
        )  # fmt: skip
    start = ("", "") if readonly else (f"{BY_ID['start-engine'].key}", "bold $key")
    return Content.assemble(
        _title("No engine is running."),
        "The engine runs your tasks in the background, also after you leave this screen.\n\n",
        start, "" if readonly else "  starts it\n",
        (f"{BY_ID['help'].key}", "bold $key"), "  shows the keys\n",
        (f"{BY_ID['quit'].key}", "bold $key"), "  leaves\n\n",
        ("On the command line: ", "$text-muted"), ("keiji system start", "$text-accent"),
    )  # fmt: skip


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

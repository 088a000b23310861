"""Messages that stand over the screen for a while: as few at a time as possible, and gone when somebody says so."""

from __future__ import annotations

from textual import events
from textual.app import App
from textual.notifications import Notify
from textual.widgets import Input

from keiji_tui.actions.catalog import BY_ID

_NOT_NOW = "not now"
_MOST = 4  # complaints in full; there may be one for each line of a file


class Toasts(App[None]):
    """The part of the terminal that tells of things."""

    # What is half of a narrow screen would be no room for a word, and half of a wide one far from what one reads.
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (60, "-middle"), (120, "-wide")]  # noqa: RUF012 - as the toolkit has it

    def on_notify(self, event: Notify) -> None:
        """Let a message take the place of one that says the same, and a refusal that of the one before."""
        coming = event.notification
        for shown in list(self._notifications):
            is_older_refusal = coming.title.endswith(_NOT_NOW) and shown.title.endswith(_NOT_NOW)
            if is_older_refusal or (shown.title, shown.message) == (coming.title, coming.message):
                self._unnotify(shown, refresh=False)

    def refuse(self, label: str, reason: str) -> None:
        """Say why something is not possible now."""
        self.notify(reason, title=f"{label}: {_NOT_NOW}", severity="warning", markup=False)

    def complain_of(self, complaints: tuple[str, ...]) -> None:
        """Tell of all that is wrong with a file, as one message."""
        if complaints:
            more = [f"and {len(complaints) - _MOST} more"] if len(complaints) > _MOST else []
            self.notify("\n".join([*complaints[:_MOST], *more]), severity="warning", timeout=12, markup=False)

    def _takes_away(self, key: events.Key) -> bool:
        """Take all messages away if a key is the one that closes things.

        Returns whether that was all the key did: with what went well it also does what it is for, whereas nobody who
        waves a complaint away wants to leave the screen, too.
        """
        is_typed = key.is_printable and isinstance(self.focused, Input)
        if is_typed or key.key not in BY_ID["back"].keys:
            return False
        has_complaints = any(shown.severity != "information" for shown in self._notifications)
        self.clear_notifications()
        return has_complaints

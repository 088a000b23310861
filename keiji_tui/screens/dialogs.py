"""What stands over a screen and is closed once, however fast its keys are pressed."""

from __future__ import annotations

from textual import events, on
from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen, ScreenResultType

from keiji_tui.terminal.sizes import ignore_outdated_size


class Modal(ModalScreen[ScreenResultType]):
    """A dialog. The toolkit would close what lies under it when it is closed a second time."""

    @on(events.Resize)
    def _ignore_outdated_size(self, event: events.Resize) -> None:
        ignore_outdated_size(self, event)

    def dismiss(self, result: ScreenResultType | None = None) -> AwaitComplete:
        return super().dismiss(result) if self.is_current else AwaitComplete()

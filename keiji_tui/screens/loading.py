"""Screens that load their data from the engine, and again whenever what it depends on has changed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from datetime import datetime

from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from keiji.errors import KeijiError
from keiji_tui.background import start_worker
from keiji_tui.screens.base import BaseScreen, ScreenContext
from keiji_tui.screens.text_dialog import TextDialog
from keiji_tui.state.store import Store
from keiji_tui.text.sanitise import plain

LOADING = "loading …"
UNAVAILABLE = "unavailable while the engine is not responding"


class Loader:
    """Loads the data of one screen in a worker of that screen.

    Data that was loaded stays while the engine is offline. A key that changes while a request is in flight leads to
    one more request after it, however often it changes.

    Args:
        load: gets the data; raises KeijiError.
        loaded: called after each attempt.

    Attributes:
        error: why the latest attempt failed, "" if it succeeded.
        is_loading: whether a request is in flight.
        has_data: whether any attempt has succeeded.
    """

    def __init__(
        self, screen: Screen[None], store: Store, load: Callable[[], Awaitable[None]], loaded: Callable[[], None]
    ) -> None:
        self._screen = screen
        self._store = store
        self._load = load
        self._loaded = loaded
        self._key: tuple[object] | None = None
        self.error = ""
        self.is_loading = False
        self.has_data = False

    def update(self, key: object) -> None:
        """Load if ``key`` differs from that of the latest request and the engine is connected."""
        if not self._store.is_live:
            self._key = None
        elif self._key is None or (not self.is_loading and self._key != (key,)):
            self._key = (key,)
            self.reload()

    def reload(self) -> None:
        """Load now, in place of a request that may be in flight."""
        self.is_loading = True
        start_worker(self._screen, self._run, group="load", exclusive=True)

    async def _run(self) -> None:
        try:
            await self._load()
        except KeijiError as error:
            self._finish(" · ".join(plain(line) for line in (error.message, error.hint) if line))
        except Exception as error:
            self._finish(plain(str(error)) or type(error).__name__)
            raise
        else:
            self.has_data = True
            self._finish("")

    def _finish(self, error: str) -> None:
        self.error, self.is_loading = error, False
        self._loaded()

    @property
    def status(self) -> str:
        """How current the data is: "" if it is, or else why it is not."""
        if self.error:
            return self.error
        if not self._store.is_live:
            return "last known state" if self.has_data else UNAVAILABLE
        return "" if self.has_data else LOADING


class LoadingScreen(BaseScreen):
    """A full screen with data of its own."""

    def __init__(self, context: ScreenContext) -> None:
        super().__init__(context)
        self.loader = Loader(self, context.store, self.load, self.repaint)
        self._texts: dict[str, Content] = {}

    @abstractmethod
    async def load(self) -> None:
        """Get the data of the screen. Raises KeijiError."""

    def set_text(self, selector: str, text: Content) -> None:
        """Show a text if it differs from the current one: comparing costs less than a new layout."""
        if selector not in self._texts or not text.is_same(self._texts[selector]):
            self._texts[selector] = text
            self.query_one(selector, Static).update(text)


class LoadingDialog(TextDialog):
    """A text dialog with data of its own."""

    def __init__(self, context: ScreenContext) -> None:
        super().__init__()
        self.context = context
        self.store = context.store
        self.now = context.clock()
        self.loader = Loader(self, context.store, self.load, self.repaint)

    def on_mount(self) -> None:
        self.repaint()

    def repaint(self) -> None:
        """Update the text to the store as of now, unless the dialog is already being closed."""
        if self in self.app.screen_stack:
            self.paint(self.context.clock())

    def paint(self, now: datetime) -> None:
        self.now = now
        key = self.load_key()
        if key is not None:
            self.loader.update(key)
        self.show()

    @abstractmethod
    async def load(self) -> None:
        """Get the data of the dialog. Raises KeijiError."""

    @abstractmethod
    def load_key(self) -> object:
        """Return what the data depends on; None if nothing is to be loaded."""

"""A full screen of which a part has to be asked of the engine, anew whenever what it depends on has changed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable

from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from keiji.errors import KeijiError
from keiji_tui.engine.link import Link
from keiji_tui.messages import RepaintRequested
from keiji_tui.screens.base import BaseScreen, ScreenContext
from keiji_tui.text.sanitise import plain


class Outdated(Message):
    """Something on a screen may have changed; ``load`` asks for it."""

    def __init__(self, load: Callable[[Link], Awaitable[None]]) -> None:
        super().__init__()
        self.load = load


class LoadingScreen(BaseScreen):
    """What was answered stays while the engine is away; ``trouble`` says why nothing newer came, "" when it did."""

    def __init__(self, context: ScreenContext) -> None:
        super().__init__(context)
        self.trouble = ""
        self.is_asking = False
        self.has_answer = False
        self._as_of: object = None
        self._texts: dict[str, Content] = {}

    @abstractmethod
    async def ask(self, link: Link) -> None:
        """Get what is shown. Raises KeijiError."""

    def ask_where_changed(self, as_of: object) -> None:
        """Ask, unless that was done already as of what ``as_of`` says, or nobody would answer."""
        if not self.store.is_live:
            self._as_of = None
        elif not self.is_asking and self._as_of != (as_of,):
            self._as_of = (as_of,)
            self.is_asking = True
            self.post_message(Outdated(self.load))

    async def load(self, link: Link) -> None:
        """Ask, and show what came of it."""
        try:
            await self.ask(link)
        except KeijiError as error:
            self.trouble = " · ".join(plain(line) for line in (error.message, error.hint) if line)
        else:
            self.trouble, self.has_answer = "", True
        finally:
            self.is_asking = False
            self.post_message(RepaintRequested())

    def put(self, place: str, text: Content) -> None:
        """Show a text where it differs from what is there: to lay out anew costs more than to compare."""
        if place not in self._texts or not text.is_same(self._texts[place]):
            self._texts[place] = text
            self.query_one(place, Static).update(text)

    @property
    def standing(self) -> str:
        """Say how what is shown stands: "" where it is what the engine says now."""
        if self.trouble:
            return self.trouble
        if not self.store.is_live:
            return "as it was" if self.has_answer else "not known while the engine does not answer"
        return "" if self.has_answer else "asking …"

"""A queue of keys, so that each one takes effect before the next one is looked up."""

from __future__ import annotations

import time
import unicodedata
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from textual import events
from textual.app import App
from textual.dom import DOMNode

Typed = events.Key | events.Paste

_RETRY_SECONDS = 0.01
_MAX_WAIT_SECONDS = 1.0
_ROUNDS = 2  # a message that is handled on the way up may lead to another one from below


def is_foreign_letter(character: str) -> bool:
    """Return whether a character is a letter of a keyboard layout without the letters a to z, such as "й"."""
    return len(character) == 1 and character.isalpha() and not unicodedata.name(character, "").startswith("LATIN ")


class KeyQueue:
    """Passes keys on, one at a time.

    Textual passes keys on as they arrive, to whatever has the focus at that moment, while the effect of a key, such as
    a screen that it opens, comes later. The characters typed right after the key that opens an input would therefore
    be keys of the screen below, and disable tasks. This queue waits until a new screen is mounted, and until the
    focused widget and all nodes above it have handled the messages that a key led to.

    Args:
        app: the app whose screens are waited for.
        dispatch: handles one key or paste.
    """

    def __init__(self, app: App[None], dispatch: Callable[[Typed], Awaitable[None]]) -> None:
        self._app = app
        self._dispatch = dispatch
        self._queue: deque[Typed] = deque()
        self._turn = 0  # the number of the current wait; a callback of an earlier one is ignored
        self._is_waiting = False
        self._has_limit = False
        self._unmounted_since: float | None = None

    @property
    def is_idle(self) -> bool:
        """Whether all keys have taken effect."""
        return not self._queue and not self._is_waiting

    async def put(self, event: Typed) -> None:
        """Handle an event, now or once those before it have taken effect."""
        self._queue.append(event)
        if not self._is_waiting:
            await self._next()
        elif not self._has_limit:  # nothing waits for ever, whatever became of the nodes that were asked
            self._has_limit = True
            self._app.set_timer(_MAX_WAIT_SECONDS, self._continue(self._turn))

    async def _next(self) -> None:
        self._turn += 1
        self._is_waiting = self._has_limit = False
        if not self._queue or not self._app.screen_stack:  # the last timer may fire while the app closes
            return
        self._is_waiting = True
        if not self._is_screen_ready():
            self._app.set_timer(_RETRY_SECONDS, self._continue(self._turn))
            return
        await self._dispatch(self._queue.popleft())
        focused = self._app.focused
        nodes = [self._app.screen, self._app] if focused is None else focused.ancestors_with_self
        self._wait_for([*nodes] * _ROUNDS, self._turn)

    def _is_screen_ready(self) -> bool:
        """Return whether the top screen is mounted; a screen that takes too long does not hold up the keys."""
        if self._app.screen.is_mounted:
            self._unmounted_since = None
            return True
        self._unmounted_since = self._unmounted_since or time.monotonic()
        return time.monotonic() - self._unmounted_since > _MAX_WAIT_SECONDS

    def _wait_for(self, nodes: Sequence[DOMNode], turn: int) -> None:
        """Go on to the next key once each node in turn has handled what was in its message queue."""
        for number, node in enumerate(nodes, 1):
            if node.call_later(self._wait_for, nodes[number:], turn):
                return
        self._app.call_later(self._continue(turn))

    def _continue(self, turn: int) -> Callable[[], Awaitable[None]]:
        async def proceed() -> None:
            if turn == self._turn and self._is_waiting:
                await self._next()

        return proceed

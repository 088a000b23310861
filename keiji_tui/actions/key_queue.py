"""Keys, each dealt with before the next one is looked at."""

from __future__ import annotations

import time
from collections import deque

from textual import events
from textual.widgets import Input

from keiji_tui.toasts import Toasts

_AGAIN_SECONDS = 0.01
_PATIENCE_SECONDS = 1.0


class KeyOrder(Toasts):
    """The part of the terminal that takes keys.

    The toolkit passes keys on as they come, to whatever has the focus by then, and what a key does comes later. So the
    letters that somebody types right behind the key that opens a line to type in would be keys of the screen before,
    and as such disable tasks. Here what a key does is done at once, and a screen that it opens is waited for.
    """

    _keys: deque[events.Key] | None = None
    _held_since: float | None = None

    async def on_event(self, event: events.Event) -> None:
        if not isinstance(event, events.Key) or event.is_forwarded:
            await super().on_event(event)
            return
        if self._keys is None:
            self._keys = deque()
        self._keys.append(event)
        if self._held_since is None:
            await self._hand_out()

    async def _hand_out(self) -> None:
        """Deal with the keys that wait, as long as there is somebody to take them."""
        keys = self._keys
        while keys and self.screen_stack:  # there is none any more when the last timer fires
            if not self._is_ready():
                self._held_since = self._held_since or time.monotonic()
                self.set_timer(_AGAIN_SECONDS, self._hand_out)
                return
            self._held_since = None
            event = keys.popleft()
            if self._takes_away(event):
                continue
            if isinstance(self.focused, Input):
                await super().on_event(event)
            else:  # and no further: what comes of it would be looked up again once another screen may be on top
                await self._act_on(event.key)
        self._held_since = None

    def _is_ready(self) -> bool:
        """Return whether the screen on top has all that it is made of; one that never gets there holds nobody up."""
        is_late = self._held_since is not None and time.monotonic() - self._held_since > _PATIENCE_SECONDS
        return is_late or self.screen.is_mounted

    async def _act_on(self, key: str) -> None:
        """Do what a key is bound to, if it is to anything."""
        await self._check_bindings(key, priority=True) or await self._check_bindings(key)

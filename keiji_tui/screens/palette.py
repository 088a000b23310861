"""The command palette, which finds actions by their names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial

from textual import events, on, work
from textual.await_complete import AwaitComplete
from textual.command import CommandList, CommandPalette, DiscoveryHit, Hit, Hits, Provider, ProviderSource
from textual.content import Content
from textual.css.query import NoMatches
from textual.fuzzy import Matcher

from keiji_tui.actions.action import Action, Risk, Scope
from keiji_tui.actions.bindings import bindings
from keiji_tui.actions.catalog import actions_in
from keiji_tui.screens.base import BaseScreen
from keiji_tui.terminal.sizes import ignore_outdated_size

_MOVING = (Scope.LIST, Scope.TEXT)  # scopes whose actions only scroll


class Palette(CommandPalette):
    """Textual's palette, except that a key that arrives too early or twice does not end the program."""

    BINDINGS = bindings(Scope.PALETTE)

    def __init__(
        self,
        providers: ProviderSource | None = None,
        *,
        placeholder: str = "find an action by name or description",
    ) -> None:
        super().__init__(providers, placeholder=placeholder)

    @on(events.Resize)
    def _ignore_outdated_size(self, event: events.Resize) -> None:
        ignore_outdated_size(self, event)

    def dismiss(self, result: None = None) -> AwaitComplete:
        return super().dismiss(result) if self.is_current else AwaitComplete()

    @work(exclusive=True, group=CommandPalette._GATHER_COMMANDS_GROUP)
    async def _gather_commands(self, search_value: str) -> None:
        with suppress(NoMatches):
            await CommandPalette._gather_commands.__wrapped__(self, search_value)  # type: ignore[attr-defined]

    # The search continues for a moment while the palette is being closed, when its widgets may be gone.

    def _watch__list_visible(self) -> None:
        if self.query(CommandList):
            super()._watch__list_visible()

    async def _watch__show_busy(self) -> None:
        if self.query(CommandList):
            await super()._watch__show_busy()

    def action_page(self, direction: int) -> None:
        """Move the highlight by a page."""
        for found in self.query(CommandList):  # none while the palette is being closed
            step = max(1, found.size.height // 3)  # an action takes two or three lines
            index = (found.highlighted or 0) + direction * step
            found.highlighted = min(max(index, 0), found.option_count - 1) if found.option_count else None


class Actions(Provider):
    """The actions of the screen below the palette; a disabled one says why."""

    async def discover(self) -> Hits:
        for action, reason in self._offered():
            shown = Content.assemble((f"{action.key:5}  ", "bold $key"), action.label)
            yield DiscoveryHit(shown, partial(self._run, action), action.label, _help(action, reason))

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for action, reason in self._offered():
            score = _score(matcher, query, action)
            if score > 0:
                shown = Content.assemble((f"{action.key:5}  ", "bold $key"), matcher.highlight(action.label))
                yield Hit(score, shown, partial(self._run, action), action.label, _help(action, reason))

    def _offered(self) -> Iterator[tuple[Action, str]]:
        screen = self.screen
        if not isinstance(screen, BaseScreen):
            return
        for action in actions_in(*screen.scopes, *screen.SCOPES, Scope.EVERYWHERE):
            if action.scope not in _MOVING and action.id != "palette":
                yield action, screen.disabled_reason(action)

    async def _run(self, action: Action) -> None:
        await self.app.run_action(f"act('{action.id}')", self.screen)


def _score(matcher: Matcher, query: str, action: Action) -> float:
    """Return the score of an action: names count more than help texts, and harmful actions less."""
    name = matcher.match(action.label)
    if name and action.label.startswith(query.casefold()):
        name += 1
    asks = 0.5 if action.risk in (Risk.CONFIRM, Risk.TYPED, Risk.ENDING) else 1
    return max(name, matcher.match(action.help) / 4) * asks


def _help(action: Action, reason: str) -> str:
    """Return the line below an action, with markup escaped: a reason may contain any name."""
    risk = "" if action.risk is Risk.NONE else f" ({action.risk.value})"
    text = f"not now: {reason}" if reason else f"{action.help}{risk}"
    return text.replace("[", "\\[")

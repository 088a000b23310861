"""Why a task does not run now and what to do about it, when it is due next, and its policy.

What is known here is shown at once; what the engine answers takes its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import tzinfo

from textual.content import Content

from keiji.errors import KeijiError
from keiji.formats import zone_of
from keiji.reasons import Reason, remedy, render
from keiji_engine.bus.explain import event_reason
from keiji_engine.bus.protocol import Upcoming
from keiji_engine.bus.views import LinkState
from keiji_tui.actions.bindings import closing_binding
from keiji_tui.logs.chunk import Line
from keiji_tui.screens.base import ScreenContext
from keiji_tui.screens.failure import failure_lines, load_failed_output
from keiji_tui.screens.instants import NOT_DUE_AGAIN, UNBUILT, instants, no_runs_while
from keiji_tui.screens.loading import LOADING, UNAVAILABLE, LoadingDialog
from keiji_tui.screens.text_dialog import hanging, section, title
from keiji_tui.state.task_state import is_overdue
from keiji_tui.text.format import format_elapsed
from keiji_tui.text.sanitise import plain

INSTANTS = 10


class WhyScreen(LoadingDialog):
    """The reasons, the next due times and the policy of one task."""

    BINDINGS = [closing_binding("why")]  # noqa: RUF012 - declared so by Textual

    def __init__(self, context: ScreenContext, slug: str) -> None:
        super().__init__(context)
        self.slug = slug
        self._reasons: tuple[Reason, ...] | None = None
        self._upcoming: Upcoming | None = None
        self._failed_output: tuple[Line, ...] = ()
        self._note = ""
        self._no_upcoming = LOADING

    def load_key(self) -> object:
        store = self.store
        if not store.is_live:
            self._reasons = self._upcoming = None
            self._no_upcoming = UNAVAILABLE
        task = store.tasks.get(self.slug)
        is_late = task is not None and is_overdue(task, self.now)
        return (task, store.engine, tuple(store.services.values()), is_late)

    async def load(self) -> None:
        link = self.context.link
        try:
            self._reasons, self._note = await link.explain(self.slug), ""
        except KeijiError as error:
            self._reasons, self._note = None, plain(error.message)
        try:
            self._upcoming = await link.upcoming(self.slug, INSTANTS)
        except KeijiError as error:
            self._upcoming, self._no_upcoming = None, plain(error.message)
        self._failed_output = await load_failed_output(link, self.store.tasks.get(self.slug))

    # ── what is shown ────────────────────────────────────────────────────────────────────────────────────────────────

    def text(self, width: int) -> Content:
        task = self.store.tasks.get(self.slug)
        if task is None:
            return Content("\n\n").join([title("why ", self.slug), Content("this task no longer exists")])
        parts = [title("why ", plain(task.name))]
        note = self._staleness() or self._note
        if note:
            parts += hanging(Content.styled("! ", "$text-warning"), note, width, "$text-warning")
        parts.append(Content(""))
        own = zone_of(task.zone, self.store.zone)
        failure = list(failure_lines(task, self.now, own, width, self._failed_output))
        parts += [*failure, Content("")] if failure else []
        for reason in self._reasons if self._reasons is not None else self.store.reasons(task, self.now):
            parts += _reason(reason, task.slug, own, width)
        parts += self._next(no_runs_while(task, is_all_paused=self.store.pause is not None), width)
        parts.append(section("Schedule"))
        parts += hanging(Content("  "), plain(task.schedule_description) or UNBUILT, width, "")
        parts.append(section("Policy"))
        parts += hanging(Content("  "), plain(task.policy) or UNBUILT, width, "")
        return Content("\n").join(parts)

    def _staleness(self) -> str:
        store = self.store
        if store.is_live or store.heard_at is None:
            return ""
        is_gone = store.link is LinkState.OFFLINE and not store.engine_is_running
        what = "is offline" if is_gone else "is not responding"
        return f"the engine {what}; this is the state of {format_elapsed(store.silent_seconds(self.now))} ago"

    def _next(self, no_runs: str, width: int) -> Iterator[Content]:
        found = self._upcoming
        zone = f" in {plain(found.zone)}" if found else ""
        yield section(f"Next due times{zone}{no_runs}")
        if found is None:
            yield from hanging(Content("  "), self._no_upcoming, width, "$text-muted")
            return
        if not found.instants and not found.events:
            yield Content.styled(NOT_DUE_AGAIN, "$text-muted")
        for event in found.events:
            yield from hanging(Content("  "), plain(render(event_reason(event))), width, "$text-muted")
        own, is_own = zone_of(found.zone, self.store.zone), found.zone != self.store.zone.key
        yield from instants(found.instants, own, self.now, width, with_zone=is_own)


def _reason(reason: Reason, slug: str, zone: tzinfo, width: int) -> Iterator[Content]:
    yield from hanging(Content("• "), plain(render(reason, zone)), width, "")
    if command := remedy(reason, slug):
        yield from hanging(Content.styled("  $ ", "$text-muted"), plain(command), width, "$text-accent")

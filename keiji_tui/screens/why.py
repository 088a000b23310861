"""Why a task does not run now and what to do about it, when it is due next, and its policy.

What is known here is shown at once; what the engine answers takes its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content

from keiji.reasons import Reason, remedy, render
from keiji_engine.bus.protocol import Upcoming
from keiji_engine.bus.views import LinkState
from keiji_tui.messages import RepaintRequested, WhyOutdated
from keiji_tui.screens.instants import instants, zone_of
from keiji_tui.screens.text_dialog import TextDialog, hanging, section, title
from keiji_tui.state.store import Store
from keiji_tui.state.task_state import is_overdue
from keiji_tui.text.format import format_elapsed
from keiji_tui.text.sanitise import plain

INSTANTS = 10


class WhyScreen(TextDialog):
    """Reasons, instants and policy of one task."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("w", "dismiss", "close", show=False)]

    def __init__(self, store: Store, slug: str) -> None:
        super().__init__()
        self.slug = slug
        self._store = store
        self._now = datetime.fromtimestamp(0, UTC)
        self._reasons: tuple[Reason, ...] | None = None
        self._upcoming: Upcoming | None = None
        self._note = ""
        self._no_upcoming = "asking …"
        self._as_of: object = None
        self._is_asking = False

    # ── what is known ────────────────────────────────────────────────────────────────────────────────────────────────

    def on_mount(self) -> None:
        super().on_mount()
        self.post_message(RepaintRequested())

    def paint(self, now: datetime) -> None:
        """Bring it up to the store as of ``now``."""
        store, self._now = self._store, now
        task = store.tasks.get(self.slug)
        is_late = task is not None and is_overdue(task, now)
        as_of = (task, store.link, store.engine, tuple(store.services.values()), is_late)
        if not self._is_asking and as_of != self._as_of:
            self._as_of = as_of
            if store.is_live:
                self._is_asking = True
                self.post_message(WhyOutdated())
            else:
                self._reasons = None
                self.no_upcoming("not known while the engine does not answer")
        self.show()

    def put_reasons(self, found: tuple[Reason, ...]) -> None:
        """Show what the engine says."""
        self._reasons, self._note = found, ""

    def guessing(self, note: str) -> None:
        """Show what is known here, and why it is not what the engine says."""
        self._reasons, self._note = None, plain(note)

    def put_upcoming(self, found: Upcoming) -> None:
        """Show these instants."""
        self._upcoming, self._is_asking = found, False
        self.post_message(RepaintRequested())

    def no_upcoming(self, note: str) -> None:
        """Say why there are none to show."""
        self._upcoming, self._no_upcoming, self._is_asking = None, plain(note), False
        self.post_message(RepaintRequested())

    # ── what is shown ────────────────────────────────────────────────────────────────────────────────────────────────

    def text(self, width: int) -> Content:
        task = self._store.tasks.get(self.slug)
        if task is None:
            return Content("\n\n").join([title("why ", self.slug), Content("there is no such task any more")])
        parts = [title("why ", plain(task.name))]
        note = self._staleness() or self._note
        if note:
            parts += hanging(Content.styled("! ", "$text-warning"), note, width, "$text-warning")
        parts.append(Content(""))
        for reason in self._reasons if self._reasons is not None else self._store.reasons(task, self._now):
            parts += _reason(reason, task.slug, self._store.zone, width)
        is_kept_back = task.is_disabled or task.held_since or task.pause or self._store.pause
        parts += self._next("would be, if it ran" if is_kept_back else "", width)
        parts.append(section("Schedule"))
        parts += hanging(Content("  "), plain(task.schedule_description) or "none before the first build", width, "")
        parts.append(section("Policy"))
        parts += hanging(Content("  "), plain(task.policy) or "none before the first build", width, "")
        return Content("\n").join(parts)

    def _staleness(self) -> str:
        store = self._store
        if store.is_live or store.heard_at is None:
            return ""
        what = "is offline" if store.link is LinkState.OFFLINE and not store.engine_is_running else "does not answer"
        return f"the engine {what}; this is what was known {format_elapsed(store.silent_seconds(self._now))} ago"

    def _next(self, note: str, width: int) -> Iterator[Content]:
        found = self._upcoming
        if found is None:
            yield section("Next")
            yield from hanging(Content("  "), self._no_upcoming, width, "$text-muted")
            return
        zone = zone_of(found.zone, self._store.zone)
        yield section("Next")
        note = " · ".join(filter(None, (f"by the clocks of {plain(found.zone)}", note)))
        yield from hanging(Content("  "), note, width, "$text-muted")
        if not found.instants:
            yield Content.styled("  never again", "$text-muted")
        yield from instants(found.instants, zone, self._now, width)


def _reason(reason: Reason, slug: str, zone: tzinfo, width: int) -> Iterator[Content]:
    yield from hanging(Content("• "), plain(render(reason, zone)), width, "")
    if command := remedy(reason, slug):
        yield from hanging(Content.styled("  $ ", "$text-muted"), plain(command), width, "$text-accent")

"""The ledger of directives as this terminal knows it: from the past, as they happen, and its own from before they were
answered. Pure: what time it is comes in."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from keiji.errors import EngineOffline, KeijiError
from keiji_engine.bus.protocol import Directive, DirectiveChanged
from keiji_engine.bus.views import DirectiveView
from keiji_tui.state.list_filter import Category, ListFilter
from keiji_tui.text.commands import SENDER, command_line, recorded_command

MAX_ENTRIES = 500
SENT, ACCEPTED, DONE, REFUSED, LOST, UNANSWERED = "sent", "accepted", "done", "refused", "lost", "unanswered"
_ORDER = (SENT, UNANSWERED, ACCEPTED, LOST, REFUSED, DONE)  # what is known later takes the place of what was before


@dataclass(frozen=True, slots=True)
class Entry:
    """A directive and what became of it.

    Args:
        stage: "sent", "accepted", "done", "refused", "lost" or "unanswered".
        at: when it was sent or came.
        completed_at: when it came to its end.
        lines: what the engine said of it.
        command: its equal on the command line; "" where there is none.
        user: whose process sent it; "" if unknown.
        sudo_user: who called sudo, as the client claims; "" for no claim.
    """

    id: str
    verb: str
    target: str
    sender: str
    stage: str
    at: datetime
    completed_at: datetime | None = None
    lines: tuple[str, ...] = ()
    command: str = ""
    user: str = ""
    sudo_user: str = ""

    @property
    def is_complete(self) -> bool:
        return self.stage in (DONE, REFUSED)

    @property
    def is_in_flight(self) -> bool:
        return self.stage in (SENT, ACCEPTED)

    @property
    def search_text(self) -> str:
        """The text in which somebody looks for letters."""
        return "\n".join((f"{self.verb} {self.target}", self.stage, self.sender, self.user, *self.lines))


def ledger_filter() -> ListFilter[Entry]:
    """Return what narrows a ledger down: to what went wrong, to what is under way, to what was sent from here."""
    return ListFilter[Entry](
        lambda entry: entry.search_text,
        Category("refused or lost", lambda entry: entry.stage in (REFUSED, LOST, UNANSWERED)),
        Category("under way", lambda entry: entry.is_in_flight),
        Category(f"sent by {SENDER}", lambda entry: entry.sender == SENDER),
    )


class Ledger:
    """The newest directives; ``changes`` counts up whenever one of them differs."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.revision = 0
        self._builds: dict[str, Entry] = {}  # by the target: the last one that came to its end
        self._order: list[str] | None = None

    # ── what happens ─────────────────────────────────────────────────────────────────────────────────────────────────

    def merge(self, views: Iterable[DirectiveView]) -> None:
        """Take in what the engine has in its ledger."""
        for view in views:
            known = self.entries.get(view.id)
            if known is not None and known.is_complete and view.completed_at is None:
                continue  # its end was told while this answer was under way
            is_known = known is not None and known.stage == view.stage and known.lines  # and not cut, as this is
            self._store(
                Entry(
                    id=view.id,
                    verb=view.verb,
                    target=view.target,
                    sender=view.sender,
                    stage=view.stage,
                    at=view.received_at,
                    completed_at=view.completed_at,
                    lines=known.lines if known is not None and is_known else view.lines,
                    command=known.command
                    if known is not None
                    else recorded_command(view.verb, view.target, view.options),
                    user=view.user,
                    sudo_user=view.sudo_user,
                )
            )
        self._trim()

    def add_sent(self, directive: Directive, now: datetime) -> None:
        """Note that a directive is on its way from here."""
        self._store(
            Entry(
                id=directive.id,
                verb=directive.verb,
                target=directive.target,
                sender=directive.sender,
                stage=SENT,
                at=now,
                command=command_line(directive),
            )
        )
        self._trim()

    def apply_event(self, event: DirectiveChanged, now: datetime) -> None:
        """Take in a stage that the engine tells."""
        known = self.entries.get(event.directive)
        if known is None:
            command = recorded_command(event.verb, event.target, event.options)
            known = Entry(event.directive, event.verb, event.target, event.sender, SENT, now, command=command)
        self._advance(known, event.stage, event.lines, now)
        self._trim()

    def mark_done(self, directive: Directive, lines: tuple[str, ...], now: datetime) -> None:
        """Note that a directive of ours was carried out."""
        if directive.id in self.entries:
            self._advance(self.entries[directive.id], DONE, lines, now)

    def mark_failed(self, directive: Directive, error: KeijiError, now: datetime) -> None:
        """Note that a directive of ours was refused, or that nobody answered."""
        if directive.id in self.entries:
            stage = UNANSWERED if isinstance(error, EngineOffline) else REFUSED
            lines = (*error.message.splitlines(), *error.hint.splitlines())
            self._advance(self.entries[directive.id], stage, lines, now)

    def _advance(self, entry: Entry, stage: str, lines: tuple[str, ...], now: datetime) -> None:
        if stage not in _ORDER or _ORDER.index(stage) < _ORDER.index(entry.stage):
            return  # the answer and the event come by different ways, in either order
        ended = entry.completed_at or (now if stage in (DONE, REFUSED) else None)
        self._store(replace(entry, stage=stage, lines=lines or entry.lines, completed_at=ended))

    def _store(self, entry: Entry) -> None:
        if self.entries.get(entry.id) == entry:
            return
        self.entries[entry.id] = entry
        self._order = None
        self.revision += 1
        if entry.verb == "build" and entry.is_complete:
            last = self._builds.get(entry.target)
            if last is None or last.at <= entry.at:
                self._builds[entry.target] = entry

    def _trim(self) -> None:
        if len(self.entries) > MAX_ENTRIES:
            for key in self.newest_first()[MAX_ENTRIES:]:
                del self.entries[key]
            self._order = None

    # ── what is shown ────────────────────────────────────────────────────────────────────────────────────────────────

    def newest_first(self) -> list[str]:
        """Return the ids, newest first."""
        if self._order is None:
            self._order = sorted(self.entries, key=lambda key: (self.entries[key].at, key), reverse=True)
        return self._order

    def last_build(self, targets: Collection[str]) -> Entry | None:
        """Return the last build of a task that came to its end, by the names that it goes by; None where none did."""
        found = [self._builds[target] for target in targets if target in self._builds]
        return max(found, key=lambda entry: entry.at, default=None)

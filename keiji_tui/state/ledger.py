"""The directives known to this terminal: those in the engine's ledger, those reported as events, and its own from the
moment they are sent. Pure: the current time is passed in."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from keiji.errors import EngineOffline, KeijiError
from keiji_engine.bus.protocol import Directive, DirectiveChanged
from keiji_engine.bus.views import DirectiveView
from keiji_tui.state.list_filter import Category, ListFilter
from keiji_tui.text.commands import SENDER, command_line, recorded_command

MAX_ENTRIES = 500
SENT, ACCEPTED, DONE, REFUSED, LOST, UNANSWERED = "sent", "accepted", "done", "refused", "lost", "unanswered"
_ORDER = (SENT, UNANSWERED, ACCEPTED, LOST, REFUSED, DONE)  # an entry never moves back to an earlier stage
_IN_FLIGHT = (SENT, ACCEPTED)
Kind = Literal["task", "service", "system"]
_Target = tuple[Kind, str]


@dataclass(frozen=True, slots=True)
class Entry:
    """A directive and its outcome so far.

    Args:
        stage: "sent", "accepted", "done", "refused", "lost" or "unanswered".
        at: when it was sent, or received by the engine.
        lines: output of the directive.
        command: the equivalent command line; "" if there is none.
        user: owner of the process that sent it; "" if unknown.
        sudo_user: user who called sudo, as claimed by the client; "" if none is claimed.
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
        return self.stage in _IN_FLIGHT

    @property
    def search_text(self) -> str:
        """The text that a filter searches."""
        return "\n".join((f"{self.verb} {self.target}", self.stage, self.sender, self.user, *self.lines))


def ledger_filter() -> ListFilter[Entry]:
    """Return a filter for ledger entries: those that failed, those in progress, and those sent by this program."""
    return ListFilter[Entry](
        lambda entry: entry.search_text,
        Category("refused or lost", lambda entry: entry.stage in (REFUSED, LOST, UNANSWERED)),
        Category("in progress", lambda entry: entry.is_in_flight),
        Category(f"sent by {SENDER}", lambda entry: entry.sender == SENDER),
    )


class Ledger:
    """The newest directives; ``revision`` increases with each change.

    Unfinished directives are indexed by target, so that `pending_verb` costs the same however long the ledger is.
    """

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.revision = 0
        self._completed_builds: dict[str, Entry] = {}  # the newest one of each target
        self._pending: dict[_Target, set[str]] = {}  # ids of unfinished directives
        self._order: list[str] | None = None

    # ── updates ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def merge(self, views: Iterable[DirectiveView]) -> None:
        """Merge directives from the engine's ledger."""
        for view in views:
            known = self.entries.get(view.id)
            if known is not None and known.is_complete and view.completed_at is None:
                continue  # the directive finished while this response was on its way
            has_output = known is not None and known.stage == view.stage and known.lines  # untruncated, unlike the view
            self._record(
                Entry(
                    id=view.id,
                    verb=view.verb,
                    target=view.target,
                    sender=view.sender,
                    stage=view.stage,
                    at=view.received_at,
                    completed_at=view.completed_at,
                    lines=known.lines if known is not None and has_output else view.lines,
                    command=known.command
                    if known is not None
                    else recorded_command(view.verb, view.target, view.options),
                    user=view.user,
                    sudo_user=view.sudo_user,
                )
            )
        self._trim()

    def add_sent(self, directive: Directive, now: datetime) -> None:
        """Record a directive that is being sent by this terminal."""
        self._record(
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
        """Record a stage that the engine reports."""
        known = self.entries.get(event.directive)
        if known is None:
            command = recorded_command(event.verb, event.target, event.options)
            known = Entry(event.directive, event.verb, event.target, event.sender, SENT, now, command=command)
        self._advance(known, event.stage, event.lines, now)
        self._trim()

    def mark_done(self, directive: Directive, lines: tuple[str, ...], now: datetime) -> None:
        """Record that a directive of this terminal was carried out."""
        if directive.id in self.entries:
            self._advance(self.entries[directive.id], DONE, lines, now)

    def mark_failed(self, directive: Directive, error: KeijiError, now: datetime) -> None:
        """Record that a directive of this terminal was refused, or not answered."""
        if directive.id in self.entries:
            stage = UNANSWERED if isinstance(error, EngineOffline) else REFUSED
            lines = (*error.message.splitlines(), *error.hint.splitlines())
            self._advance(self.entries[directive.id], stage, lines, now)
            self._discard_pending(self.entries[directive.id])

    def discard_pending(self) -> None:
        """Stop treating unfinished directives as pending, because their engine is gone.

        Their stages stay: the ledger of the next engine says how they ended.
        """
        self._pending.clear()

    def _advance(self, entry: Entry, stage: str, lines: tuple[str, ...], now: datetime) -> None:
        if stage not in _ORDER or _ORDER.index(stage) < _ORDER.index(entry.stage):
            return  # the response and the event arrive on different sockets, in either order
        completed_at = entry.completed_at or (now if stage in (DONE, REFUSED) else None)
        self._record(replace(entry, stage=stage, lines=lines or entry.lines, completed_at=completed_at))

    def _record(self, entry: Entry) -> None:
        if entry.is_in_flight:
            self._pending.setdefault(_target_of(entry), set()).add(entry.id)
        else:
            self._discard_pending(entry)
        if self.entries.get(entry.id) == entry:
            return
        self.entries[entry.id] = entry
        self._order = None
        self.revision += 1
        if entry.verb == "build" and entry.is_complete:
            newest = self._completed_builds.get(entry.target)
            if newest is None or newest.at <= entry.at:
                self._completed_builds[entry.target] = entry

    def _discard_pending(self, entry: Entry) -> None:
        target = _target_of(entry)
        ids = self._pending.get(target, set())
        ids.discard(entry.id)
        if not ids:
            self._pending.pop(target, None)

    def _trim(self) -> None:
        if len(self.entries) > MAX_ENTRIES:
            for key in self.newest_first()[MAX_ENTRIES:]:
                self._discard_pending(self.entries.pop(key))
            self._order = None

    # ── queries ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def newest_first(self) -> list[str]:
        """Return the ids, newest first."""
        if self._order is None:
            self._order = sorted(self.entries, key=lambda key: (self.entries[key].at, key), reverse=True)
        return self._order

    def pending_verb(self, kind: Kind, *targets: str) -> str:
        """Return the verb of the newest unfinished directive for any of ``targets``; "" if there is none."""
        pending = [key for target in targets for key in self._pending.get((kind, target), ())]
        return self.entries[max(pending, key=self._age_rank)].verb if pending else ""

    def _age_rank(self, key: str) -> tuple[datetime, str]:
        return self.entries[key].at, key

    def last_build(self, targets: Collection[str]) -> Entry | None:
        """Return the newest completed build of a task, given the names it is known by; None if there is none."""
        found = [self._completed_builds[target] for target in targets if target in self._completed_builds]
        return max(found, key=lambda entry: entry.at, default=None)


def _target_of(entry: Entry) -> _Target:
    kind: Kind = next((kind for kind in ("service", "system") if entry.verb.endswith(f"-{kind}")), "task")
    return kind, entry.target

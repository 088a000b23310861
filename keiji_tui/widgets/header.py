"""What stands at the top of every screen: which engine this is, how it does, how many tasks there are. Content only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from textual.content import Content

from keiji_engine.bus.views import LinkState, ServiceStatus, ServiceView
from keiji_tui.actions.catalog import BY_ID
from keiji_tui.state.store import Store
from keiji_tui.state.task_index import Sort, StatusFilter
from keiji_tui.state.task_state import TaskCounts, TaskState
from keiji_tui.text.format import abbreviate_path, format_clock, format_elapsed, format_since
from keiji_tui.text.sanitise import plain
from keiji_tui.widgets.adaptive_line import Sides

_GLYPHS = {
    ServiceStatus.ONLINE: ("●", "$text-success"),
    ServiceStatus.DEGRADED: ("◍", "$text-error"),
    ServiceStatus.STARTING: ("◐", "$text-warning"),
    ServiceStatus.STOPPING: ("◑", "$text-warning"),
    ServiceStatus.OFFLINE: ("○", "$text-muted"),
    ServiceStatus.FAILED: ("✗", "$text-error"),
}
_ENOUGH = 30  # letters of a reason that are worth more than the moment
_DOT = (" · ", "$text-disabled")
_UNKNOWN = Content.styled("?", "$text-muted")


def service_glyph(status: ServiceStatus) -> Content:
    """Return the glyph of a status in its colour."""
    return Content.styled(*_GLYPHS[status])


def engine_line(store: Store, now: datetime, home: str) -> list[Sides]:
    """Return the top line, at its fullest first."""
    name = Content.styled("keiji", "bold $text-primary")
    engine = store.engine
    time = Content.styled(format_clock(now, store.zone), "$foreground")
    if engine is None:
        return [(name, time)]
    where = plain(abbreviate_path(engine.workspace, home))
    places = [(where, engine.database, engine.time_zone), (where, engine.time_zone), (where,), ()]
    lefts = [_joined(name, tuple(plain(part) for part in parts if part)) for parts in places]
    worded, brief = (Content.assemble(_services(store, is_brief), "   ", time) for is_brief in (False, True))
    marks = Content.assemble(Content(" ").join(_mark(view, store) for view in store.services.values()), "   ", time)
    return [
        *((left, worded) for left in lefts[:3]),
        *((left, brief) for left in lefts),
        *((left, marks) for left in lefts[2:]),
    ]


def _joined(name: Content, parts: tuple[str, ...]) -> Content:
    pieces: list[Content | tuple[str, str]] = [name]
    for index, part in enumerate(parts):
        pieces += [_DOT if index else ("  ", ""), (part, "$text-muted")]
    return Content.assemble(*pieces)


def _services(store: Store, is_brief: bool) -> Content:
    pieces: list[Content | str] = []
    for view in store.services.values():
        pieces += [" " if is_brief else "  " if pieces else "", _service(view, store, is_brief)]
    return Content.assemble(*pieces)


def _mark(view: ServiceView, store: Store) -> Content:
    return service_glyph(view.status) if store.is_live else _UNKNOWN


def _service(view: ServiceView, store: Store, is_brief: bool) -> Content:
    is_quiet = view.status is ServiceStatus.ONLINE or not store.is_live
    mark = _mark(view, store)
    if is_brief and is_quiet:
        return mark
    word = "" if is_quiet else f" {view.status}"
    return Content.assemble((f"{plain(view.name)} ", "$text-muted"), mark, (word, "$text-muted"))


def counts_line(store: Store, *, has_hints: bool, readonly: bool = False) -> list[Sides]:
    """Return the line of counts, at its fullest first; on the right what the filter is.

    Args:
        has_hints: whether the keys of the list work where this is shown.
    """
    if store.engine is None:  # nothing is known yet, and none would be a claim
        return [(Content.styled("Tasks –", "$text-muted"), Content(""))]
    found = store.counts
    pieces: list[tuple[str, str]] = [("Tasks ", "$text-muted"), (str(found.tasks), "bold")]
    for count, word, style in (
        (found.running, "running", "$text-accent"),
        (found.failing, "failing", "$text-error"),
        (found.held, "held", "$text-error"),
        (found.paused, "paused", "$text-warning"),
        (found.disabled, "disabled", "$text-muted"),
        (found.changed, "differ", "$text-warning"),
    ):
        if count or word in {"running", "failing"}:
            pieces += [_DOT, (f"{word} {count}", style if count else "$text-disabled")]
    full = Content.assemble(*pieces)
    short = Content.assemble(*pieces[:2], *_marks(found))
    rights = _shown(store, has_hints=has_hints, readonly=readonly)
    if store.marks or store.index.is_filtered:  # that not all is shown, or more than one is meant, is worth more
        least = Content.assemble(*pieces[:2])
        return [(left, right) for right in rights for left in (full, short, least)]
    return [(full, rights[0]), (full, Content("")), (short, rights[0]), (short, Content(""))]


def _shown(store: Store, *, has_hints: bool, readonly: bool) -> list[Content]:
    """Return which tasks are shown, in which order, and how many are marked, at its fullest first."""
    listing, muted = store.index, "$text-muted"
    parts: list[list[tuple[str, str]]] = []
    if store.marks:
        parts.append([(f"{len(store.marks):,} marked", "bold $text-warning")])
    if listing.is_filtered:
        parts.append([(f"{len(store.visible_slugs()):,} of {store.counts.tasks:,}", muted)])
        if listing.status is not StatusFilter.ALL:
            parts[-1].append((f" {listing.status.label}", "$text-warning"))
        if listing.text:
            parts[-1] += [(" with ", muted), (f"“{plain(listing.text, 40)}”", "$text-warning")]
    brief = Content(" · ").join(Content.assemble(*part) for part in parts)
    if listing.sort is not Sort.NAME or listing.descending:
        parts.append([(f"by {listing.sort.label} {'↓' if listing.descending else '↑'}", muted)])
    ordered = Content(" · ").join(Content.assemble(*part) for part in parts)
    if brief and not has_hints:
        return [ordered, brief]
    if brief:
        hint = (f" {BY_ID['back'].key} {'shows all' if listing.is_filtered else 'unmarks'}", muted)
        return [Content.assemble(ordered, hint), Content.assemble(brief, hint), brief]
    mark = "read-only  " if readonly else ""
    keys = [("  " if ordered else "", ""), (BY_ID["filter"].key, "$key"), (" filter", muted)] if has_hints else []
    return [Content.assemble((mark, "$text-warning"), ordered, *keys)]


def _marks(found: TaskCounts) -> list[tuple[str, str]]:
    pairs = (
        (TaskState.RUNNING, found.running),
        (TaskState.FAILING, found.failing),
        (TaskState.HELD, found.held),
        (TaskState.PAUSED, found.paused),
        (TaskState.DISABLED, found.disabled),
    )
    return [(f"  {state.glyph} {count}", "$text-muted") for state, count in pairs if count]


def connection_banner(store: Store, now: datetime, *, readonly: bool) -> list[Sides]:
    """Return what stands over old data, at its fullest first; empty while all is well. It always says how old."""
    seconds = format_elapsed(store.silent_seconds(now)) if store.heard_at else ""
    heard, ago = (f" – last heard {seconds} ago", f" · {seconds}") if seconds else ("", "")
    key = BY_ID["start-engine"].key
    if store.link is LinkState.OFFLINE and store.engine_is_running:
        wake = "" if readonly else f"{key} wakes it"
        reason = f": {plain(store.link_reason)}"
        return _variants("✗ not connected", (f"{reason}{heard}", heard, ago), wake)
    if store.link is LinkState.OFFLINE:
        trouble = f": {plain(store.workspace_error.message)}" if store.workspace_error else ""
        start = "" if readonly or trouble else f"{key} starts it"
        return [
            *_variants("✗ engine offline", (f"{trouble}{heard}", heard, ago), start),
            *_variants("✗ offline", (ago,), start),
        ]
    if store.link is LinkState.STALE:
        return _variants(f"! stale {seconds}", (" – the engine does not answer", " – no answer"), "")
    if store.link is LinkState.CONNECTING and store.engine is not None:
        return _variants("… connecting to the engine", (heard, ago), "")
    return []


def _variants(what: str, more: Sequence[str], todo: str) -> list[Sides]:
    """Return a line at its fullest first: what there is, more about it, and what to do about it."""
    key = Content(f" – {todo}" if todo else "")
    return [(Content.assemble((what, "bold"), told, key), Content("")) for told in dict.fromkeys(more)]


def pause_banner(store: Store, now: datetime, key: str) -> list[Sides]:
    """Return the line that says that everything is paused, at its fullest first; empty while it is not.

    Args:
        key: what resumes; "" where it cannot be resumed from here now.
    """
    verb = store.pending_of_all()
    pause = store.pause
    if pause is None:
        return [(Content.styled("‖ pausing everything …", "bold"), Content(""))] if verb == "pause" else []
    when = f" since {format_since(pause.since, now, store.zone)}"
    by = f" by {plain(pause.by)}" if pause.by else ""
    reason = f": {plain(pause.reason)}" if pause.reason else ""
    right = Content.assemble((key, "bold $key"), " resumes") if key else Content("")
    if verb:
        right = Content("pausing …" if verb == "pause" else "resuming …")
    whole = ("‖ everything is paused", "bold")
    ending = Content.assemble(" – ", right) if right else right
    return [
        (Content.assemble(whole, when, by, reason, ending), Content("")),
        (Content.assemble(whole, when, reason, ending), Content("")),
        (Content.assemble(whole, when, plain(reason, _ENOUGH)), right),
        (Content.assemble(("‖ all paused", "bold"), reason or when), right),
    ]

"""The lines at the top of every screen: the engine and its services, counts of tasks, and warnings. Content only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from textual.content import Content

from keiji_engine.bus.views import LinkState, ServiceStatus, ServiceView
from keiji_tui.actions.catalog import BY_ID
from keiji_tui.state.store import Store
from keiji_tui.state.task_index import Sort, StatusFilter
from keiji_tui.state.task_state import TaskCounts, TaskState
from keiji_tui.text.format import abbreviate_path, format_clock, format_elapsed, format_names, format_since
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
_TROUBLED = (ServiceStatus.DEGRADED, ServiceStatus.FAILED)
_SHORT_REASON = 30  # characters
_DOT = (" · ", "$text-disabled")
_UNKNOWN = Content.styled("?", "$text-muted")


def service_glyph(status: ServiceStatus) -> Content:
    """Return the glyph of a service status in its colour."""
    return Content.styled(*_GLYPHS[status])


def engine_line(store: Store, now: datetime, home: str) -> list[Sides]:
    """Return variants of the top line, the longest first: the engine, its services, the time."""
    name = Content.styled("keiji", "bold $text-primary")
    engine = store.engine
    time = Content.styled(format_clock(now, store.zone), "$foreground")
    if engine is None:
        return [(name, time)]
    path = plain(abbreviate_path(engine.workspace, home))
    folder = path.rpartition("/")[2]
    short_path = f"…/{folder}" if folder and len(folder) + 2 < len(path) else path
    details = [(path, engine.database, engine.time_zone), (path, engine.time_zone), (path,), (short_path,), ()]
    lefts = [_with_details(name, tuple(plain(part) for part in parts if part)) for parts in details]
    named, only_troubled_named = (
        Content.assemble(_services(store, is_brief=is_brief), "   ", time) for is_brief in (False, True)
    )
    glyphs = Content.assemble(
        Content(" ").join(_service_glyph(view, store) for view in store.services.values()), "   ", time
    )
    return [(left, right) for right in (named, only_troubled_named, glyphs) for left in lefts]


def _with_details(name: Content, details: tuple[str, ...]) -> Content:
    pieces: list[Content | tuple[str, str]] = [name]
    for index, detail in enumerate(details):
        pieces += [_DOT if index else ("  ", ""), (detail, "$text-muted")]
    return Content.assemble(*pieces)


def _services(store: Store, *, is_brief: bool) -> Content:
    pieces: list[Content | str] = []
    for view in store.services.values():
        pieces += [" " if is_brief else "  " if pieces else "", _service(view, store, is_brief=is_brief)]
    return Content.assemble(*pieces)


def _service_glyph(view: ServiceView, store: Store) -> Content:
    return service_glyph(view.status) if store.is_live else _UNKNOWN


def _service(view: ServiceView, store: Store, *, is_brief: bool) -> Content:
    is_healthy = view.status is ServiceStatus.ONLINE or not store.is_live
    glyph = _service_glyph(view, store)
    if is_brief and is_healthy:
        return glyph
    status = "" if is_healthy else f" {view.status}"
    return Content.assemble((f"{plain(view.name)} ", "$text-muted"), glyph, (status, "$text-muted"))


def counts_line(store: Store, *, has_hints: bool, readonly: bool = False) -> list[Sides]:
    """Return variants of the line of counts, the longest first; on the right the filter, the marks and the order.

    Args:
        has_hints: whether the keys of the task list work on the screen.
    """
    if store.engine is None:  # unknown so far; a zero would be wrong
        return [(Content.styled("Tasks –", "$text-muted"), Content(""))]
    counted = store.counts
    pieces: list[tuple[str, str]] = [("Tasks ", "$text-muted"), (str(counted.tasks), "bold")]
    for count, label, style in (
        (counted.running, "running", "$text-accent"),
        (counted.failing, "failing", "$text-error"),
        (counted.held, "held", "$text-error"),
        (counted.paused, "paused", "$text-warning"),
        (counted.disabled, "disabled", "$text-muted"),
        (counted.changed, "changed", "$text-warning"),
    ):
        if count or label in {"running", "failing"}:
            pieces += [_DOT, (f"{label} {count}", style if count else "$text-disabled")]
    full = Content.assemble(*pieces)
    short = Content.assemble(*pieces[:2], *_glyph_counts(counted))
    rights = _shown(store, has_hints=has_hints, readonly=readonly)
    if store.marks or store.index.is_filtered:  # hidden or marked tasks matter more than the counts
        least = Content.assemble(*pieces[:2])
        return [(left, right) for right in rights for left in (full, short, least)]
    return [(full, rights[0]), (full, Content("")), (short, rights[0]), (short, Content(""))]


def _shown(store: Store, *, has_hints: bool, readonly: bool) -> list[Content]:
    """Return variants of the marks, the filter and the order, the longest first."""
    index, muted = store.index, "$text-muted"
    parts: list[list[tuple[str, str]]] = []
    if store.marks:
        parts.append([(f"{len(store.marks):,} marked", "bold $text-warning")])
    if index.is_filtered:
        parts.append([(f"{len(store.visible_slugs()):,} of {store.counts.tasks:,}", muted)])
        if index.status is not StatusFilter.ALL:
            parts[-1].append((f" {index.status.label}", "$text-warning"))
        if index.text:
            parts[-1] += [(" with ", muted), (f"“{plain(index.text, 40)}”", "$text-warning")]
    brief = Content(" · ").join(Content.assemble(*part) for part in parts)
    if index.sort is not Sort.NAME or index.descending:
        parts.append([(f"by {index.sort.label} {'↓' if index.descending else '↑'}", muted)])
    ordered = Content(" · ").join(Content.assemble(*part) for part in parts)
    if brief and not has_hints:
        return [ordered, brief]
    if brief:
        hint = (f" {BY_ID['back'].key} {'shows all' if index.is_filtered else 'unmarks'}", muted)
        return [Content.assemble(ordered, hint), Content.assemble(brief, hint), brief]
    mark = "read-only  " if readonly else ""
    keys = [("  " if ordered else "", ""), (BY_ID["filter"].key, "$key"), (" filter", muted)] if has_hints else []
    return [Content.assemble((mark, "$text-warning"), ordered, *keys)]


def _glyph_counts(counted: TaskCounts) -> list[tuple[str, str]]:
    pairs = (
        (TaskState.RUNNING, counted.running),
        (TaskState.FAILING, counted.failing),
        (TaskState.HELD, counted.held),
        (TaskState.PAUSED, counted.paused),
        (TaskState.DISABLED, counted.disabled),
    )
    return [(f"  {state.glyph} {count}", "$text-muted") for state, count in pairs if count]


def connection_banner(store: Store, now: datetime, *, readonly: bool) -> list[Sides]:
    """Return variants of the line below the counts, the longest first; empty while the engine responds and is healthy.

    If the data are stale, the line shows their age; otherwise the degraded or failed services and the reasons.
    """
    silence = format_elapsed(store.silent_seconds(now)) if store.heard_at else ""
    last_update, ago = (f" – last update {silence} ago", f" · {silence}") if silence else ("", "")
    key = BY_ID["start-engine"].key
    if store.link is LinkState.OFFLINE and store.engine_is_running:
        start = "" if readonly else f"{key} starts it"
        reason = f": {plain(store.link_reason)}"
        return _variants("✗ not connected", (f"{reason}{last_update}", last_update, ago), start)
    if store.link is LinkState.OFFLINE:
        error = f": {plain(store.workspace_error.message)}" if store.workspace_error else ""
        start = "" if readonly or error else f"{key} starts it"
        return [
            *_variants("✗ engine offline", (f"{error}{last_update}", last_update, ago), start),
            *_variants("✗ offline", (ago,), start),
        ]
    if store.link is LinkState.STALE:
        return _variants(f"! stale {silence}", (" – the engine is not responding", " – no response"), "")
    if store.link is LinkState.CONNECTING and store.engine is not None:
        return _variants("… connecting to the engine", (last_update, ago), "")
    return _service_banner(store) if store.is_live else []


def _service_banner(store: Store) -> list[Sides]:
    """Return variants of the line of degraded and failed services, grouped by reason."""
    names: dict[str, list[str]] = {}
    for view in store.services.values():
        if view.status in _TROUBLED:
            names.setdefault(f"{view.status}: {plain(view.detail)}" if view.detail else str(view.status), []).append(
                plain(view.name)
            )
    if not names:
        return []
    parts = [(format_names(each, limit=len(each)), *why.partition(":")) for why, each in names.items()]
    whole = Content("; ").join(
        Content.assemble((f"{who} {status}", "bold"), colon, why) for who, status, colon, why in parts
    )
    return [(Content.assemble(("! ", "bold"), whole), Content(""))]


def _variants(state: str, details: Sequence[str], remedy: str) -> list[Sides]:
    """Return one line for each of ``details``, between the state and the remedy."""
    ending = Content(f" – {remedy}" if remedy else "")
    return [(Content.assemble((state, "bold"), detail, ending), Content("")) for detail in dict.fromkeys(details)]


def pause_banner(store: Store, now: datetime, key: str) -> list[Sides]:
    """Return variants of the system pause line, the longest first; empty while the system is not paused.

    Args:
        key: the key that resumes; "" if resuming is not possible now.
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
    whole = ("‖ everything has been paused", "bold")
    ending = Content.assemble(" – ", right) if right else right
    return [
        (Content.assemble(whole, when, by, reason, ending), Content("")),
        (Content.assemble(whole, when, reason, ending), Content("")),
        (Content.assemble(whole, when, plain(reason, _SHORT_REASON)), right),
        (Content.assemble(("‖ all paused", "bold"), reason or when), right),
    ]

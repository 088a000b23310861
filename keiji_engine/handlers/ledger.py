"""get-directives: what the engine was asked to do, and what became of it."""

from __future__ import annotations

from datetime import datetime

from keiji.errors import ProtocolError
from keiji_engine.bus import protocol as p
from keiji_engine.bus.views import DirectiveView
from keiji_engine.handlers.context import Context
from keiji_engine.storage.store import Store, StoredDirective

MOST_DIRECTIVES = 500
LONGEST_TEXT = 2000  # letters of one directive, so that a whole reply is a megabyte at most
LONGEST_OPTION = 500
LOST = (
    "the engine ended while it carried this out, and may have done a part of it",
    "look at the task, and ask again if it was not done",
)


async def get_directives(desk: Context, request: p.GetDirectives) -> p.Directives:
    """Return the newest directives of the ledger."""
    limit = min(max(request.limit, 0), MOST_DIRECTIVES)
    stored = await desk.ledger.do(Store.directives, limit)
    began = desk.control.engine_view().started_at if desk.control else None
    return p.Directives(id=request.id, directives=tuple(_view(directive, began) for directive in stored))


def lines_of(reply: p.AnyReply) -> tuple[str, ...]:
    """Return what a reply says, for people."""
    if isinstance(reply, p.Done):
        return reply.lines
    return (*reply.message.splitlines(), *reply.hint.splitlines()) if isinstance(reply, p.Refused) else ()


def _view(stored: StoredDirective, began: datetime | None) -> DirectiveView:
    # What another engine accepted and never settled, nobody carries out any more.
    is_lost = stored.settled_at is None and (began is None or stored.received_at < began)
    return DirectiveView(
        id=stored.id,
        verb=stored.verb,
        target=stored.target,
        sender=stored.sender,
        stage="lost" if is_lost else stored.stage,
        received_at=stored.received_at,
        settled_at=stored.settled_at,
        lines=LOST if is_lost else _cut(_said(stored.reply)),
        options={name: _brief(value) for name, value in stored.options.items()},
    )


def _brief(value: str | bool) -> str | bool:
    return f"{value[:LONGEST_OPTION]}…" if isinstance(value, str) and len(value) > LONGEST_OPTION else value


def _said(reply: bytes) -> tuple[str, ...]:
    try:
        return lines_of(p.decode_reply([p.VERSION, reply])) if reply else ()
    except ProtocolError:  # of another version of keiji
        return ("what was answered cannot be read by this version of keiji",)


def _cut(lines: tuple[str, ...]) -> tuple[str, ...]:
    kept: list[str] = []
    room = LONGEST_TEXT
    for number, line in enumerate(lines):
        if len(line) > room:
            left = len(lines) - number - 1
            kept.append(f"{line[:room]}… cut here" + (f", with {left:,} more lines" if left else ""))
            break
        kept.append(line)
        room -= len(line) + 1
        if room <= 0 and number + 1 < len(lines):
            kept.append(f"… {len(lines) - number - 1:,} more lines")
            break
    return tuple(kept)

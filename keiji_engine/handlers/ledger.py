"""get-directives: the ledger of directives and their outcomes."""

from __future__ import annotations

import uuid
from datetime import datetime

from keiji.errors import KeijiError, ProtocolError
from keiji_engine.bus import protocol as p
from keiji_engine.bus.security import own_peer
from keiji_engine.bus.views import DirectiveView
from keiji_engine.handlers.context import Context
from keiji_engine.storage.rows import StoredDirective
from keiji_engine.storage.transactions import Transaction

MAX_DIRECTIVES = 500
MAX_TEXT = 2000  # characters per directive, so that a reply is at most a megabyte
MAX_OPTION = 500
LOST = (
    "the engine ended while it carried this out; it may be done in part",
    "check the task, and repeat the directive if necessary",
)


async def get_directives(context: Context, request: p.GetDirectives) -> p.Directives:
    """Return the newest directives."""
    limit = min(max(request.limit, 0), MAX_DIRECTIVES)
    stored = await context.state.read(lambda transaction: transaction.directives.latest(limit))
    engine_start = context.control.engine_view().started_at if context.control else None
    return p.Directives(id=request.id, directives=tuple(_view(directive, engine_start) for directive in stored))


async def record_lifecycle(context: Context, verb: str, line: str, error: KeijiError | None = None) -> None:
    """Enter an event of the engine's own life into the ledger: its start, its stop, a reload.

    Args:
        line: what happened.
        error: why it failed; None if it did not.

    Raises:
        StorageError: it cannot be recorded.
    """
    directive_id, at = uuid.uuid4().hex, context.clock()
    reply: p.AnyReply = p.Done(id=directive_id, lines=(line,))
    if error is not None:
        reply = p.Refused(id=directive_id, code=error.code, message=line, hint=error.hint)
    stage = "done" if error is None else "refused"
    body = p.encode(reply)[1]

    def record(transaction: Transaction) -> None:
        transaction.directives.insert(directive_id, verb, "", "keiji-engine", at, user=own_peer().user)
        transaction.directives.complete(directive_id, stage, body, at)

    await context.state.apply(record)


def lines_of(reply: p.AnyReply) -> tuple[str, ...]:
    """Return the text of a reply."""
    if isinstance(reply, p.Done):
        return reply.lines
    return (*reply.message.splitlines(), *reply.hint.splitlines()) if isinstance(reply, p.Refused) else ()


def _view(stored: StoredDirective, engine_start: datetime | None) -> DirectiveView:
    # A directive that an earlier engine accepted and never completed is not continued.
    is_lost = stored.completed_at is None and (engine_start is None or stored.received_at < engine_start)
    return DirectiveView(
        id=stored.id,
        verb=stored.verb,
        target=stored.target,
        sender=stored.sender,
        stage="lost" if is_lost else stored.stage,
        received_at=stored.received_at,
        completed_at=stored.completed_at,
        lines=LOST if is_lost else _truncate(_lines(stored.reply)),
        user=stored.user,
        sudo_user=stored.sudo_user,
        options={name: _shorten(value) for name, value in stored.options.items()},
    )


def _shorten(value: str | bool) -> str | bool:
    return f"{value[:MAX_OPTION]}…" if isinstance(value, str) and len(value) > MAX_OPTION else value


def _lines(reply: bytes) -> tuple[str, ...]:
    try:
        return lines_of(p.decode_reply([p.VERSION, reply])) if reply else ()
    except ProtocolError:  # of another version of keiji
        return ("this version of keiji cannot read the reply",)


def _truncate(lines: tuple[str, ...]) -> tuple[str, ...]:
    kept: list[str] = []
    budget = MAX_TEXT
    for number, line in enumerate(lines):
        if len(line) > budget:
            rest = len(lines) - number - 1
            kept.append(f"{line[:budget]}… truncated" + (f", with {rest:,} more lines" if rest else ""))
            break
        kept.append(line)
        budget -= len(line) + 1
        if budget <= 0 and number + 1 < len(lines):
            kept.append(f"… {len(lines) - number - 1:,} more lines")
            break
    return tuple(kept)

"""A log under a line that says whose it is and where in it one is, over the line in which something is asked of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import date, tzinfo

from rich.cells import cell_len
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content

from keiji.errors import KeijiError
from keiji.records import Run
from keiji_tui.actions.action import Action
from keiji_tui.actions.catalog import BY_ID
from keiji_tui.engine.link import LogLink
from keiji_tui.logs.deeds import LogDeeds
from keiji_tui.logs.line import plain_message
from keiji_tui.logs.match_client import Matcher, PatternFailed
from keiji_tui.logs.match_protocol import LineFilter, Locate, Stream
from keiji_tui.logs.merged import MergedLog
from keiji_tui.logs.prompt import LogPrompt
from keiji_tui.logs.reader import LogReader
from keiji_tui.logs.source import Source, TaskLog
from keiji_tui.logs.view import LogView
from keiji_tui.text.format import format_count
from keiji_tui.text.sanitise import plain
from keiji_tui.widgets.adaptive_line import AdaptiveLine

_BREATH = 64  # parts after which keys get a turn
_WIDEST = 30  # letters of an expression in the title
_NARROW = 40  # cells for what is told, where there are not enough


class LogPane(Vertical):
    """A titled log, with all that can be done with one."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.matcher = Matcher()
        self.reader = LogReader(self.matcher, self._changed)
        self.slugs: tuple[str, ...] = ()
        self.pattern = ""
        self.source: Source | None = None  # None before there was any engine
        self._deeds = LogDeeds(self)
        self._whose = [""]
        self._trouble = ""
        self._note = ""
        self._is_live = True
        self._revealed: int | None = None  # the line that was looked for, once its match has been on the screen
        self._is_locating = False
        self._line = AdaptiveLine(id="log-title")
        self.view = LogView(self.reader, self._do, id="log")
        self.ask = LogPrompt()

    def compose(self) -> ComposeResult:
        yield self._line
        yield self.view
        yield self.ask

    # ── what is shown ────────────────────────────────────────────────────────────────────────────────────────────────

    def show(self, tasks: Mapping[str, str], *, together: str = "") -> None:
        """Show the log of another task, or of several as one, empty until lines come.

        Args:
            tasks: slug → name.
            together: what several are called where there is no room for all names.
        """
        names = {slug: plain(name) for slug, name in tasks.items()}
        if tuple(names) != self.slugs:
            self._deeds.stop()
            self.ask.close()
            self.pattern, self._note = "", ""
            self.source = None
            self.reader.forget()
            self.view.start_over()
            self.view.names = names if len(names) > 1 else {}
        self.slugs, self._trouble = tuple(names), ""
        every = list(names.values())
        self._whose = [", ".join(every)] if len(every) < 2 else [", ".join(every), together or f"of {len(every)} tasks"]
        self._title()

    def connect(self, link: LogLink) -> None:
        """Let the log be read over a link from now on."""
        if self.source is None and self.slugs:
            self.source = TaskLog(link, *self.slugs) if len(self.slugs) == 1 else MergedLog(link, self.slugs)

    async def follow(self, link: LogLink) -> None:
        """Show what is in the log and what comes, until this is cancelled or there is no engine any more."""
        self.connect(link)
        source = self.source
        if source is None:
            return
        attending = asyncio.create_task(self.reader.attend(source))
        try:
            count = 0
            async for told in source.follow():
                self._trouble = ""
                self.reader.take(told)
                count += 1
                if count % _BREATH == 0:
                    await asyncio.sleep(0)
                if attending.done():
                    attending.result()
        except KeijiError as error:
            self._trouble = plain(error.message).rstrip(".")
            self._title()
        finally:
            attending.cancel()

    def open_at(self, run: Run) -> None:
        """Go to a run: where it begins, or to the last error line of one that failed."""
        self._deeds.open_at(run)

    def at(self, zone: tzinfo, today: date, *, is_live: bool) -> None:
        """Show times in ``zone``; ``is_live`` says whether anything can come at all."""
        self.view.at(zone, today)
        if is_live != self._is_live:
            self._is_live = is_live
            if is_live:
                self.reader.try_again()
            self._title()

    def back(self) -> bool:
        """Undo one thing: a search under way, what is typed or looked for, the filter; return whether there was any."""
        if self._deeds.stop() or self.reader.halt():
            self.tell("stopped")
            return True
        if self.ask.is_open:
            self._close_ask()
            return True
        if self.pattern:
            self.look_for("")
            return True
        if not self.reader.sift.is_all:
            self.reader.filter(LineFilter())
            self.view.refill()
            return True
        return False

    def is_idle(self, action: Action) -> bool:
        """Return whether an action is not worth a place at the bottom now."""
        return action.id in ("log-next", "log-previous") and not self.pattern

    def look_for(self, pattern: str) -> None:
        """Highlight what matches; "" for nothing."""
        self.pattern, self._note = pattern, ""
        if not pattern:
            self.view.here = None
        self.view.mark({} if pattern else None)
        self._locate()
        self._title()

    def tell(self, note: str) -> None:
        """Say something in the title until something else is done."""
        self._note = note
        self._title()

    def on_unmount(self) -> None:
        self.matcher.close()

    # ── what happens ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _changed(self) -> None:
        if self.view.is_mounted:
            self.view.refill()

    @on(LogView.Changed)
    def _view_changed(self) -> None:
        self._title()
        self._reveal()
        self._locate()

    def _locate(self) -> None:
        if self.pattern and not self._is_locating and any(True for _ in self.view.unmarked()):
            self._is_locating = True
            locate: Callable[[], Awaitable[None]] = self._locate_all
            self.run_worker(locate, group="locate", exit_on_error=False)

    async def _locate_all(self) -> None:
        """Find out where the lines on the screen match, while there are any of which that is not known."""
        view = self.view
        try:
            while self.pattern and (raws := list(dict.fromkeys(view.unmarked()))):
                spans = view.spans
                found = await self.matcher.ask(Locate(raws, self.pattern))
                if spans is not None and spans is view.spans:
                    spans.update(zip(raws, found.spans, strict=True))
                    self._reveal()
                    view.refresh()
        except PatternFailed as error:
            self.look_for("")
            self.tell(error.message)
        finally:
            self._is_locating = False

    def _reveal(self) -> None:
        """Have the first match in the line that was looked for on the screen, once."""
        view = self.view
        line = next((line for line in view.lines_shown if line.position == view.here), None)
        spans = view.spans.get(line.raw) if line is not None and view.spans else None
        if line is not None and spans and self._revealed != view.here:
            self._revealed = view.here
            view.show_cells(line, *(cell_len(plain_message(line)[:letters]) for letters in spans[0]))

    def _do(self, what: str) -> None:
        if not self.slugs:
            return
        self._note = ""
        self._deeds.do(what)
        self._title()

    def on_log_prompt_typed(self, event: LogPrompt.Typed) -> None:
        event.stop()
        self._deeds.typed(event.asked, event.text)

    def on_log_prompt_taken(self, event: LogPrompt.Taken) -> None:
        event.stop()
        self._deeds.taken(event.asked, event.text)

    def on_log_prompt_left(self, event: LogPrompt.Left) -> None:
        event.stop()
        if not self._deeds.stop():
            self._close_ask()

    def _close_ask(self) -> None:
        self.ask.close()
        self.screen.set_focus(self.view)

    # ── the title ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _title(self) -> None:
        kind = "logs " if len(self.slugs) > 1 else "log "
        names = [Content.assemble((kind, "$text-muted"), (whose, "bold")) for whose in self._whose]
        is_empty = not len(self.reader.buffer) and self.reader.sift.is_all and self.slugs
        empty = "  nothing printed yet" if is_empty and not self._trouble and self.reader.buffer.end is not None else ""
        told = list(self._asked())
        lefts = [*(Content.assemble(name, *told, (empty, "$text-disabled")) for name in names), names[-1]]
        self._line.set_variants(*((left, right) for right in self._state() for left in lefts))

    def _asked(self) -> Iterable[tuple[str, str]]:
        sift = self.reader.sift
        if sift.stream is not Stream.BOTH:
            yield f"  {sift.stream} only", "$text-warning"
        if sift.pattern:
            yield ("  without " if sift.inverted else "  only "), "$text-muted"
            yield f"“{plain(sift.pattern, _WIDEST)}”", "$text-warning"
        if self.pattern:
            yield "  find ", "$text-muted"
            yield f"“{plain(self.pattern, _WIDEST)}”", "$text-warning"

    def _state(self) -> Iterable[Content]:
        """Yield what is said on the right, at its fullest first."""
        reader, buffer = self.reader, self.reader.buffer
        under_way = self._deeds.progress or (
            f"filtering … {reader.progress:.0%}" if reader.is_scanning and reader.progress < 1 else ""
        )
        follow = BY_ID["follow"].key
        trouble = self._trouble or plain(reader.trouble)
        if under_way:
            yield Content.styled(f"{under_way} · {BY_ID['back'].key} stops", "$text-accent")
        elif trouble or self._note:
            told = Content.styled(trouble or self._note, "$text-warning")
            yield told
            yield told.truncate(_NARROW, ellipsis=True)
        elif reader.following:
            words = ("following", "$text-success") if self._is_live else ("waiting for the engine", "$text-muted")
            yield Content.styled(*words)
        else:
            oldest = buffer.oldest or 0
            share = (self.view.bottom - oldest) / max(1, buffer.size - oldest)
            place = f"{min(1.0, max(0.0, share)):.0%}"
            unseen = f"+{format_count(reader.unseen, 'line')}" if reader.unseen else ""
            style = "$text-warning" if unseen else "$text-muted"
            yield Content.styled(" · ".join(filter(None, (place, unseen, f"{follow} follows"))), style)
            yield Content.styled(unseen or place, style)

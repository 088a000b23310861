"""What the keys of a log do beyond scrolling: find, filter, jump between runs, copy, save, open in the pager."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from textual.worker import Worker

from keiji.errors import KeijiError
from keiji.records import Run
from keiji.states import FAILURES
from keiji_tui.external import in_pager
from keiji_tui.logs.line import parsed
from keiji_tui.logs.match_client import PatternFailed
from keiji_tui.logs.match_protocol import Check, Choose, LineFilter, Stream
from keiji_tui.logs.prompt import PromptKind
from keiji_tui.logs.search import Extent, find_back, find_on, last_error, save
from keiji_tui.logs.source import nearest
from keiji_tui.text.format import format_count
from keiji_tui.text.sanitise import plain

if TYPE_CHECKING:
    from keiji_tui.logs.pane import LogPane

_STREAMS = {Stream.BOTH: Stream.OUT, Stream.OUT: Stream.ERR, Stream.ERR: Stream.BOTH}


class LogDeeds:
    """Carries out what is asked of the log in a pane; what takes long can be stopped.

    Attributes:
        progress: what is under way and how far it has got, "" for nothing.
    """

    def __init__(self, pane: LogPane) -> None:
        self._pane = pane
        self._worker: Worker[None] | None = None
        self.progress = ""
        self._overwrite: Path | None = None

    @property
    def is_busy(self) -> bool:
        return self._worker is not None and self._worker.is_running

    def stop(self) -> bool:
        """Stop what is under way; return whether there was anything."""
        was_busy = bool(self.progress) and self.is_busy
        if self._worker is not None and self.is_busy:
            self._worker.cancel()
        self._worker, self.progress = None, ""
        return was_busy

    def do(self, what: str) -> None:
        """Do what a key is for."""
        getattr(self, f"_{what}")()

    # ── what is typed ────────────────────────────────────────────────────────────────────────────────────────────────

    def _find(self) -> None:
        self._pane.ask.open(PromptKind.FIND, self._pane.pattern)

    def _filter(self) -> None:
        sift = self._pane.reader.sift
        self._pane.ask.open(PromptKind.FILTER, f"{'!' if sift.inverted else ''}{sift.pattern}")

    def _save(self) -> None:
        self._overwrite = None
        self._pane.ask.open(PromptKind.SAVE, str(Path.cwd() / f"{'-'.join(self._pane.slugs[:3])}.txt"))

    def typed(self, asked: PromptKind, text: str) -> None:
        """Say at once what is wrong with an expression."""
        self._overwrite = None
        if asked is PromptKind.SAVE or not text:
            self._pane.ask.complain("")
        else:
            self._begin(partial(self._check, _pattern(asked, text)))

    def taken(self, asked: PromptKind, text: str) -> None:
        """Do what the line was opened for."""
        if asked is PromptKind.SAVE:
            self._begin(partial(self._save_to, text))
        elif not self._pane.ask.is_wrong:
            # At once, so that what is pressed next is about the log, and does not stop what was asked for.
            self._done_typing()
            deed = self._search_for if asked is PromptKind.FIND else self._filter_by
            self._begin(partial(deed, text))

    async def _check(self, pattern: str) -> bool:
        try:
            await self._pane.matcher.ask(Check(pattern))
        except PatternFailed as error:
            self._pane.ask.complain(error.message)
            return False
        self._pane.ask.complain("")
        return True

    async def _is_fine(self, asked: PromptKind, text: str) -> bool:
        """Return whether what was typed can be looked for; where it cannot, it is there again to be put right."""
        pattern = _pattern(asked, text)
        if not pattern or await self._check(pattern):
            return True
        self._pane.ask.open(asked, text)
        return await self._check(pattern)

    def _done_typing(self) -> None:
        self._pane.ask.close()
        self._pane.screen.set_focus(self._pane.view)

    async def _filter_by(self, text: str) -> None:
        pane = self._pane
        sift = LineFilter.typed(text, pane.reader.sift.stream)
        if not await self._is_fine(PromptKind.FILTER, text):
            return
        pane.reader.filter(sift)
        pane.view.refill()

    def _stream(self) -> None:
        sift = self._pane.reader.sift
        self._pane.reader.filter(msgspec.structs.replace(sift, stream=_STREAMS[sift.stream]))
        self._pane.view.refill()

    # ── finding ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _search_for(self, text: str) -> None:
        pane = self._pane
        if not await self._is_fine(PromptKind.FIND, text):
            return
        pane.view.here = None
        pane.look_for(text)
        if text:
            place = pane.view.bottom
            await self._search(backwards=True, place=place) or await self._search(
                backwards=False, place=place, otherwise="no match"
            )

    def _next(self) -> None:
        self._again(backwards=False)

    def _previous(self) -> None:
        self._again(backwards=True)

    def _again(self, *, backwards: bool) -> None:
        view = self._pane.view
        if not self._pane.pattern:
            self._find()
            return
        place = view.bottom if backwards else view.top
        if view.is_here_visible and view.here is not None:
            line = view.buffer[view.buffer.index(view.here)]
            place = line.position if backwards else line.end
        otherwise = "no earlier match" if backwards else "no later match"
        self._begin(partial(self._search, backwards=backwards, place=place, otherwise=otherwise))

    async def _search(self, *, backwards: bool, place: int, otherwise: str = "") -> bool:
        """Go to the nearest match on one side of a place; return whether there is one."""
        pane, source = self._pane, self._pane.source
        if source is None:
            return False
        buffer = pane.reader.buffer
        oldest = buffer.oldest or 0
        whole = max(1, place - oldest if backwards else buffer.size - place)
        what = Choose("", pane.reader.sift, pane.pattern)

        def reached(position: int) -> None:
            self._advance("searching", abs(place - position) / whole)

        self._advance("searching", 0.0)
        found = await (find_back if backwards else find_on)(source, pane.matcher, what, place, reached)
        if found is not None:
            self._go_to(found, 0.4)
        elif otherwise:
            pane.tell(otherwise)
        return found is not None

    def _go_to(self, position: int, land_at: float) -> None:
        view = self._pane.view
        view.here, view.land_at = position, land_at
        view.go_to(position)

    # ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def open_at(self, run: Run) -> None:
        """Go to a run."""
        self._begin(partial(self._open_at, run))

    async def _open_at(self, run: Run) -> None:
        source = self._pane.source
        if source is None:
            return
        place = await last_error(source, run) if run.state in FAILURES else run.log_start
        if place is None:
            self._pane.tell("the log has nothing of this run" if run.log_end is None else "not in the log any more")
        else:
            self._go_to(place, 0.7 if run.state in FAILURES else 0.0)

    def _previous_run(self) -> None:
        self._begin(partial(self._other_run, backwards=True))

    def _next_run(self) -> None:
        self._begin(partial(self._other_run, backwards=False))

    async def _other_run(self, *, backwards: bool) -> None:
        pane, view = self._pane, self._pane.view
        if pane.source is None:
            return
        place = view.here if view.here is not None and view.is_here_visible else view.top
        known = await pane.source.run_beside(place, backwards=backwards)
        starts = [*self._loaded_starts(), *([] if known is None else [known])]
        found = nearest(starts, place, backwards=backwards)
        if found is None:
            pane.tell("no earlier run" if backwards else "no later run")
        else:
            self._go_to(found, 0.0)

    def _loaded_starts(self) -> list[int]:
        """Return where runs begin in what is loaded: the engine knows that of a run only when it has ended."""
        seen: dict[str, set[str]] = defaultdict(set)  # by task
        starts = []
        for line in self._pane.reader.buffer:
            run = "" if line.is_note else parsed(line.raw).run
            if run and run not in seen[line.task]:
                if seen[line.task]:  # the first one may have begun before what is loaded
                    starts.append(line.position)
                seen[line.task].add(run)
        return starts

    # ── taking it elsewhere ──────────────────────────────────────────────────────────────────────────────────────────

    def _copy(self) -> None:
        pane, view = self._pane, self._pane.view
        text = view.screen.get_selected_text()
        if not text:
            lines = view.lines_shown
            if view.is_here_visible:
                lines = [line for line in lines if line.position == view.here]
            text = "\n".join(map(view.words, lines))
        pane.app.copy_to_clipboard(text)
        count = text.count("\n") + 1 if text else 0
        self._notify(f"copied {format_count(count, 'line')}" if count else "nothing to copy")

    async def _save_to(self, text: str) -> None:
        pane, source = self._pane, self._pane.source
        path = Path(text).expanduser()
        if source is None or not text:
            return
        if path.exists() and self._overwrite != path:
            self._overwrite = path
            pane.ask.complain("it exists – enter again overwrites it")
            return
        extent = await self._extent()

        def reached(position: int) -> None:
            self._advance("saving", (position - extent.begin) / max(1, extent.end - extent.begin))

        self._advance("saving", 0.0)
        try:
            with path.open("w", encoding="utf-8") as file:  # here: a thread that is given up would leave it open
                sift, names = pane.reader.sift, pane.view.names
                count = await save(source, pane.matcher, file, extent, reached, sift=sift, names=names)
        except OSError as error:
            pane.ask.complain(f"{error.strerror or error}")
            return
        self._done_typing()
        what = f"run {extent.run[:8]}, " if extent.run else ""
        self._notify(f"saved {what}{format_count(count, 'line')}\n{plain(str(path))}")

    async def _extent(self) -> Extent:
        """Return what is to be saved: all that the filter lets through, or of one log the run that is on the screen."""
        pane = self._pane
        buffer, view = pane.reader.buffer, pane.view
        begin, end = buffer.oldest or 0, buffer.size
        lines = [line for line in view.lines_shown if not view.is_here_visible or line.position == view.here]
        run_id = next(filter(None, (parsed(line.raw).run for line in reversed(lines))), "")
        if not pane.reader.sift.is_all or not run_id or pane.source is None or len(pane.slugs) > 1:
            return Extent(begin, end)
        run = next((run for run in await pane.source.runs() if run.run_id == run_id), None)
        if run is not None and run.log_start is not None:
            begin, end = max(begin, run.log_start), min(end, run.log_end or end)
        return Extent(begin, end, run_id)

    def _pager(self) -> None:
        pane = self._pane
        paths = pane.source.paths() if pane.source is not None else []
        if not paths:
            pane.tell("there is no file of it here")
            return
        try:
            in_pager(pane.app, paths)
        except KeijiError as error:
            pane.tell(plain(error.message))
        pane.app.refresh()

    def _notify(self, words: str) -> None:
        self._pane.app.notify(words, timeout=3, markup=False)

    # ── what takes long ──────────────────────────────────────────────────────────────────────────────────────────────

    def _begin(self, deed: Callable[[], Awaitable[object]]) -> None:
        self.stop()
        self._worker = self._pane.run_worker(partial(self._carry_out, deed), group="deeds", exit_on_error=False)

    async def _carry_out(self, deed: Callable[[], Awaitable[object]]) -> None:
        mine = self._worker
        try:
            await deed()
        except KeijiError as error:
            self._pane.tell(plain(error.message))
        finally:
            if self._worker is mine:
                self.progress = ""
            with suppress(LookupError):
                self._pane.view.refill()

    def _advance(self, doing: str, share: float) -> None:
        told = f"{doing} … {min(1.0, share):.0%}"
        if told != self.progress:
            self.progress = told
            self._pane.view.post_message(self._pane.view.Changed())


def _pattern(asked: PromptKind, text: str) -> str:
    return LineFilter.typed(text, Stream.BOTH).pattern if asked is PromptKind.FILTER else text

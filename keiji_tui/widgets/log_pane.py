"""The log of the selected task under a line that says whose it is and whether it follows."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, tzinfo

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content

from keiji_engine.bus.protocol import LogChunk
from keiji_tui.link.link import LogPart
from keiji_tui.logs.sanitise import plain
from keiji_tui.widgets.line import Line
from keiji_tui.widgets.log_view import LogView
from keiji_tui.words import counted


class LogPane(Vertical):
    """A titled log."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._slug = ""
        self._whose = ""
        self._trouble = ""
        self._is_live = True

    def compose(self) -> ComposeResult:
        yield Line(id="log-title")
        yield LogView(id="log")

    @property
    def view(self) -> LogView:
        return self.query_one(LogView)

    def show(self, task: str, name: str) -> None:
        """Show the log of another task, empty until its lines come."""
        if task != self._slug:
            self.view.clear()
        self._slug, self._whose, self._trouble = task, plain(name), ""
        self._title()

    def failed(self, reason: str) -> None:
        """Say why no lines come."""
        self._trouble = plain(reason).rstrip(".")
        self._title()

    def add(self, parts: Iterable[LogPart]) -> None:
        """Take in what the link told of this task's log."""
        for part in parts:
            if self._is_new_log(part):
                self.view.clear()
            self.view.add(part.position, part.end, part.text)
        self._trouble = ""
        self._title()

    def _is_new_log(self, part: LogPart) -> bool:
        """Return whether the log was deleted and begun anew, so that positions count from the start again."""
        end = self.view.buffer.end
        if end is None:
            return False
        return part.end <= end and bool(part.text) if isinstance(part, LogChunk) else part.size < end

    def at(self, zone: tzinfo, today: date, *, is_live: bool) -> None:
        """Show times in ``zone``; ``is_live`` says whether anything can come at all."""
        self.view.at(zone, today)
        if is_live != self._is_live:
            self._is_live = is_live
            self._title()

    def on_log_view_changed(self) -> None:
        self._title()

    def _title(self) -> None:
        view = self.view
        if self._trouble:
            right = Content.styled(self._trouble, "$text-warning")
        elif view.following and not self._is_live:
            right = Content.styled("waiting for the engine", "$text-muted")
        elif view.following:
            right = Content.styled("following", "$text-success")
        elif view.unseen:
            right = Content.styled(f"+{counted(view.unseen, 'line')} · f follows", "$text-warning")
        else:
            right = Content.styled("paused · f follows", "$text-muted")
        name = Content.assemble(("log ", "$text-muted"), (self._whose, "bold"))
        empty = "" if len(view.buffer) or self._trouble or not self._slug else "  nothing printed yet"
        full = Content.assemble(name, (empty, "$text-disabled"))
        self.query_one(Line).put((full, right), (name, right))

"""The differences between the sources of a task and its active build, file by file."""

from __future__ import annotations

from datetime import datetime

from textual.app import ComposeResult
from textual.content import Content

from keiji.records import FileDifference
from keiji_engine.bus.protocol import Difference
from keiji_engine.bus.views import TaskView
from keiji_tui.actions.action import Action, Scope
from keiji_tui.actions.bindings import bindings
from keiji_tui.actions.catalog import BY_ID
from keiji_tui.screens.base import ScreenContext
from keiji_tui.screens.loading import LoadingScreen
from keiji_tui.text.format import format_count
from keiji_tui.text.sanitise import plain
from keiji_tui.widgets.adaptive_line import AdaptiveLine
from keiji_tui.widgets.text_view import TextView

_MAX_LINE_LENGTH = 1100
_STYLES = {"+": "$text-success", "-": "$text-error", "@": "$text-accent", "\\": "$text-muted"}
_CHANGES = {
    "added": ("+ new", "$text-success"),
    "removed": ("- removed", "$text-error"),
    "edited": ("~ edited", "$text-warning"),
    "mode": ("~ mode", "$text-warning"),
}


class DifferenceScreen(LoadingScreen):
    """A unified diff per changed file."""

    BINDINGS = bindings(Scope.TASK)
    SCOPES = (Scope.TASK,)
    AUTO_FOCUS = "#difference"

    def __init__(self, context: ScreenContext, *, slug: str) -> None:
        super().__init__(context)
        self.slug = slug
        self._difference: Difference | None = None
        self._shown: object = None

    def body(self) -> ComposeResult:
        yield AdaptiveLine(id="difference-title", classes="title")
        yield AdaptiveLine(id="difference-error")
        yield TextView(id="difference")

    @property
    def selected_task(self) -> TaskView | None:
        return self.store.tasks.get(self.slug)

    @property
    def scopes(self) -> tuple[Scope, ...]:
        return (Scope.TEXT, *self.SCOPES)

    def is_hidden(self, action: Action) -> bool:
        if action.id in ("difference", "logs", "history", "why", "delete", "run", "restart", "pause", "toggle", "stop"):
            return True
        return super().is_hidden(action)

    async def load(self) -> None:
        self._difference = await self.context.link.difference(self.slug)

    def paint_body(self, now: datetime) -> None:
        task, difference = self.selected_task, self._difference
        if task is not None:
            self.loader.update((task.build, task.source_changes, task.source_error))
        title = Content.assemble(
            ("difference ", "$text-muted"), (plain(task.name) if task else plain(self.slug), "bold")
        )
        brief = Content.styled(self._summary(difference) if difference else "", "$text-muted")
        state = Content.styled(self.loader.status, "$text-warning" if self.loader.error else "$text-muted")
        right = Content("  ").join(part for part in (brief, state) if part)
        self.query_one("#difference-title", AdaptiveLine).set_variants(
            (title, right), (title, state if self.loader.status else brief)
        )
        error = plain(task.source_error) if task else ""
        line = self.query_one("#difference-error", AdaptiveLine)
        line.set_class(bool(error), "-shown")
        line.set_variants((Content.assemble(("✗ ", "$text-error"), (error, "$text-error")), Content("")))
        # Rebuild the lines only if the answer is a new object; comparing long texts would be too slow.
        as_of = (difference, self.loader.has_data, self.loader.status, task is None)
        if as_of != self._shown:
            self._shown = as_of
            lines, parts = self._lines(task, difference)
            self.query_one(TextView).set_lines(lines, parts)

    def _summary(self, difference: Difference) -> str:
        lines = [line for file in difference.files for line in file.lines]
        added, removed = (sum(line.startswith(sign) for line in lines) for sign in "+-")
        return (
            f"{format_count(len(difference.files), 'file')}, +{added:,} -{removed:,} against {plain(difference.build)}"
        )

    def _lines(self, task: TaskView | None, difference: Difference | None) -> tuple[list[Content], list[int]]:
        if task is None:
            return [Content("this task no longer exists")], []
        if difference is None:
            lines = [Content.styled(self.loader.status, "$text-warning" if self.loader.error else "$text-muted")]
            if self.loader.error:
                lines += [
                    Content(""),
                    Content.assemble((BY_ID["build"].key, "bold $key"), "  build the current sources"),
                ]
            return lines, []
        if not difference.files:
            return [
                Content.styled("No differences.", "bold"),
                Content(""),
                Content(f"The sources match the active build, {plain(difference.build)}."),
                Content.assemble((BY_ID["edit"].key, "bold $key"), "  edit the sources"),
            ], []
        return _diff_lines(difference)


def _diff_lines(difference: Difference) -> tuple[list[Content], list[int]]:
    lines: list[Content] = []
    parts: list[int] = []
    for file in difference.files:
        if lines:
            lines.append(Content(""))
        parts.append(len(lines))
        lines += _file(file)
    if difference.note:
        lines += [Content(""), Content.styled(plain(difference.note), "$text-warning")]
    return lines, parts


def _file(file: FileDifference) -> list[Content]:
    label, style = _CHANGES.get(file.change, (file.change, ""))
    heading = Content.assemble((f"{label} ", style), (plain(file.path), "bold"))
    lines = [heading if not file.note else Content.assemble(heading, (f"  {plain(file.note)}", "$text-warning"))]
    for line in file.lines:
        sign, text = line[:1], plain(line[1:], _MAX_LINE_LENGTH)
        lines.append(Content.styled(f"{sign}{text}", _STYLES.get(sign, "$text-muted")))
    return lines

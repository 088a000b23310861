"""The full output of a directive, or of the last build of a task."""

from __future__ import annotations

from datetime import datetime

from textual.content import Content

from keiji.formats import format_measurement
from keiji_tui.actions.bindings import closing_binding
from keiji_tui.actions.catalog import BY_ID
from keiji_tui.screens.base import ScreenContext
from keiji_tui.screens.loading import LoadingDialog
from keiji_tui.screens.text_dialog import TextDialog, close_hint, hanging, title
from keiji_tui.state import ledger
from keiji_tui.state.ledger import Entry
from keiji_tui.state.store import Store
from keiji_tui.text.sanitise import plain

_LONGEST = 4000
_LEDGER_LIMIT = 200


class DirectiveOutputScreen(TextDialog):
    """The output of one directive of the ledger."""

    def __init__(self, store: Store, directive_id: str) -> None:
        super().__init__()
        self._store = store
        self._directive_id = directive_id

    def paint(self, now: datetime) -> None:
        self.show()

    def text(self, width: int) -> Content:
        entry = self._store.ledger.entries.get(self._directive_id)
        if entry is None:
            return Content("\n").join([title("this directive is no longer in the ledger"), Content("")])
        what = f"{entry.verb} {plain(entry.target)}".strip()
        heading = Content.assemble((f"{what} ", "bold"), _stage(entry), close_hint())
        return Content("\n").join([heading, Content(""), *_output(entry, width)])


class BuildOutputScreen(LoadingDialog):
    """The output of the last build of a task, from the ledger if it is older than this terminal."""

    BINDINGS = [closing_binding("output")]  # noqa: RUF012 - declared so by Textual

    def __init__(self, context: ScreenContext, slug: str) -> None:
        super().__init__(context)
        self.slug = slug

    @property
    def entry(self) -> Entry | None:
        task = self.store.tasks.get(self.slug)
        return self.store.ledger.last_build((self.slug, *((task.name,) if task else ())))

    def load_key(self) -> object:
        return self.store.engine.boot if self.store.engine and self.entry is None else None

    async def load(self) -> None:
        self.store.ledger.merge(await self.context.link.directives(_LEDGER_LIMIT))

    def text(self, width: int) -> Content:
        entry = self.entry
        if entry is not None:
            return Content("\n").join([self._heading(entry), Content(""), *_output(entry, width)])
        if status := self.loader.status:
            return Content("\n\n").join([self._heading(entry), Content.styled(status, "$text-muted")])
        key = (BY_ID["build"].key, "bold $key")
        nothing = Content.assemble(
            "The ledger contains no build of this task.\n\n",
            "Press ",
            key,
            " to build it; the output then appears here.",
        )
        return Content("\n\n").join([self._heading(entry), nothing])

    def _heading(self, entry: Entry | None) -> Content:
        task = self.store.tasks.get(self.slug)
        name = plain(task.name) if task else plain(self.slug)
        stage = Content("") if entry is None else Content.assemble(" ", _stage(entry, built=True))
        return Content.assemble(("build of ", "$text-muted"), (name, "bold"), stage, close_hint())


def _stage(entry: Entry, *, built: bool = False) -> Content:
    is_bad = entry.stage in (ledger.REFUSED, ledger.LOST, ledger.UNANSWERED)
    words = {ledger.REFUSED: "failed", ledger.DONE: "succeeded"} if built else {}
    mark = "✗ " if is_bad else ""
    return Content.styled(f"{mark}{words.get(entry.stage, entry.stage)}", "$text-error" if is_bad else "$text-success")


def _output(entry: Entry, width: int) -> list[Content]:
    lines: list[Content] = []
    for number, line in enumerate(entry.lines or ("no output",)):
        text = plain(line.replace("\t", "    "), _LONGEST)
        indent = len(text) - len(text.lstrip())
        # The first line of a refusal names the file, the line and the error.
        style = "$text-error" if number == 0 and entry.stage == ledger.REFUSED else ""
        lines += hanging(Content(" " * min(indent, width // 2)), text.strip(), width, style)
    lines.append(Content(""))
    lines += hanging(Content(""), _requested(entry), width, "$text-muted")
    if entry.command:
        lines += hanging(Content.styled("$ ", "$text-muted"), plain(entry.command), width, "$text-accent")
    return lines


def _requested(entry: Entry) -> str:
    who = f"requested by {plain(entry.sender)}" if entry.sender else "requested"
    if entry.completed_at is None:
        return who
    return f"{who}, took {format_measurement(max(0.0, (entry.completed_at - entry.at).total_seconds()))}"

"""What the engine said of a directive, all lines of it, until somebody closes it."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content

from keiji.errors import KeijiError
from keiji.formats import format_measurement
from keiji_tui.actions.catalog import BY_ID
from keiji_tui.engine.link import Link
from keiji_tui.messages import RepaintRequested
from keiji_tui.screens.loading import Outdated
from keiji_tui.screens.text_dialog import TextDialog, hanging, title
from keiji_tui.state import ledger
from keiji_tui.state.ledger import Entry
from keiji_tui.state.store import Store
from keiji_tui.text.sanitise import plain

_LONGEST = 4000
_ASKED = 200


class DirectiveOutputScreen(TextDialog):
    """Everything that was said of one directive of the ledger."""

    def __init__(self, store: Store, key: str) -> None:
        super().__init__()
        self._store = store
        self._key = key

    @property
    def entry(self) -> Entry | None:
        return self._store.ledger.entries.get(self._key)

    def heading(self) -> Content:
        entry = self.entry
        if entry is None:
            return title("nothing is known of it any more")
        what = f"{entry.verb} {plain(entry.target)}".strip()
        return Content.assemble((f"{what} ", "bold"), _stage(entry), ("  esc closes", "$text-muted"))

    def text(self, width: int) -> Content:
        entry = self.entry
        lines = [self.heading(), Content("")]
        if entry is not None:
            lines += _said(entry, width)
        return Content("\n").join(lines)

    def paint(self, now: datetime) -> None:
        """Bring it up to what is known as of ``now``."""
        self.show()


class BuildOutputScreen(DirectiveOutputScreen):
    """What the last build of a task said; of one from before this terminal, what the ledger has of it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("B", "dismiss", "close", show=False, id="output")]

    def __init__(self, store: Store, slug: str) -> None:
        super().__init__(store, "")
        self.slug = slug
        self._note = ""

    def on_mount(self) -> None:
        super().on_mount()
        if self.entry is None:
            self._note = "asking …" if self._store.is_live else "not known while the engine does not answer"
            if self._store.is_live:
                self.post_message(Outdated(self._load))
            self.show()

    async def _load(self, link: Link) -> None:
        try:
            self._store.ledger.merge(await link.directives(_ASKED))
            self._note = ""
        except KeijiError as error:
            self._note = plain(error.message)
        self.post_message(RepaintRequested())

    @property
    def entry(self) -> Entry | None:
        task = self._store.tasks.get(self.slug)
        return self._store.ledger.last_build((self.slug, *((task.name,) if task else ())))

    def heading(self) -> Content:
        task = self._store.tasks.get(self.slug)
        name = plain(task.name) if task else plain(self.slug)
        entry = self.entry
        stage = Content("") if entry is None else Content.assemble(" ", _stage(entry, built=True))
        return Content.assemble(("build of ", "$text-muted"), (name, "bold"), stage, ("  esc closes", "$text-muted"))

    def text(self, width: int) -> Content:
        if self.entry is not None:
            return super().text(width)
        if self._note:
            return Content("\n\n").join([self.heading(), Content.styled(self._note, "$text-muted")])
        key = (BY_ID["build"].key, "bold $key")
        nothing = Content.assemble(
            ("No build of it is in the ledger.\n\n", ""), key, " builds it, and what is said of that is kept here"
        )
        return Content("\n\n").join([self.heading(), nothing])


def _stage(entry: Entry, *, built: bool = False) -> Content:
    is_bad = entry.stage in (ledger.REFUSED, ledger.LOST, ledger.UNANSWERED)
    words = {ledger.REFUSED: "failed", ledger.DONE: "went well"} if built else {}
    mark = "✗ " if is_bad else ""
    return Content.styled(f"{mark}{words.get(entry.stage, entry.stage)}", "$text-error" if is_bad else "$text-success")


def _said(entry: Entry, width: int) -> list[Content]:
    lines: list[Content] = []
    for number, said in enumerate(entry.lines or ("nothing was said of it",)):
        text = plain(said.replace("\t", "    "), _LONGEST)
        indent = len(text) - len(text.lstrip())
        # The first line of a refusal has file, line and what is wrong there.
        style = "$text-error" if number == 0 and entry.stage == ledger.REFUSED else ""
        lines += hanging(Content(" " * min(indent, width // 2)), text.strip(), width, style)
    lines.append(Content(""))
    lines += hanging(Content(""), _asked(entry), width, "$text-muted")
    if entry.command:
        lines += hanging(Content.styled("$ ", "$text-muted"), plain(entry.command), width, "$text-accent")
    return lines


def _asked(entry: Entry) -> str:
    who = f"asked for by {plain(entry.sender)}" if entry.sender else "asked for"
    if entry.completed_at is None:
        return who
    return f"{who}, took {format_measurement(max(0.0, (entry.completed_at - entry.at).total_seconds()))}"

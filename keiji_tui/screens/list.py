"""A full screen with a list of its own, which can be filtered by category and by text."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Generic, TypeVar

from textual import on
from textual.content import Content

from keiji_tui.actions.catalog import BY_ID
from keiji_tui.screens.base import BaseScreen, ScreenContext
from keiji_tui.state.list_filter import ListFilter
from keiji_tui.text.sanitise import plain
from keiji_tui.widgets.adaptive_line import AdaptiveLine
from keiji_tui.widgets.filter_input import FilterBar
from keiji_tui.widgets.table import Table

T = TypeVar("T")
_TYPED = 40  # characters of a filter that are shown


class ListScreen(BaseScreen, Generic[T]):
    """Rows that pass a filter. The selected row is selected again once the filter no longer hides it.

    Attributes:
        NOUN: what the rows are called.
        LETTERS: what the text of the filter is searched in, for the empty filter line.
    """

    NOUN: ClassVar[str]
    LETTERS: ClassVar[str]

    def __init__(self, context: ScreenContext) -> None:
        super().__init__(context)
        self.sieve = self.new_sieve()
        self._meant: str | None = None  # what the user has selected, even if it is hidden
        self._stand_in: str | None = None  # the row that is selected while it is hidden

    @abstractmethod
    def new_sieve(self) -> ListFilter[T]:
        """Return a filter that lets every row pass."""

    @property
    @abstractmethod
    def rows(self) -> Mapping[str, T]:
        """All rows, in order."""

    @property
    def table(self) -> Table:
        return self.query_one(Table)

    @property
    def has_task_list_keys(self) -> bool:
        return False

    def filter_line(self) -> FilterBar:
        """Return the filter line."""
        return FilterBar(self.LETTERS)

    # ── what is shown ────────────────────────────────────────────────────────────────────────────────────────────────

    def put_rows(self, wanted: Mapping[str, int], *, newest_first: bool = False) -> None:
        """Show the rows that pass, and select the row that was selected before it was hidden."""
        table, keys = self.table, self.sieve.visible_keys(self.rows)
        was_at_top = newest_first and table.scroll_offset.y == 0
        is_stand_in = table.selected == self._stand_in
        table.empty_text = self._nothing_passes()
        table.set_rows(keys, wanted)
        if was_at_top and table.scroll_offset.y and table.selected in keys[: table.size.height - 1]:
            table.scroll_to(y=0, animate=False, immediate=True, force=True)  # show the new row
        if is_stand_in and self._meant is not None:
            table.select(self._meant)
            self._stand_in = table.selected

    def put_title(self, place: str, titles: Sequence[Content], note: str, standing: str = "") -> None:
        """Show the title, and on the right which rows are shown.

        Args:
            note: how much there is, where nothing is hidden.
            standing: how current it is, "" where it is.
        """
        muted = "$text-muted"
        if self.sieve.is_active:
            known = self._passed()
            hint = Content.styled(f" {BY_ID['back'].key} shows all", muted)
        else:
            known = Content.styled(note, muted)
            keys = ("  ", (BY_ID["filter"].key, "$key"), (" filter", muted)) if self.rows else ()
            hint = Content.assemble(*keys)
        whole = Content.styled(" · ", muted).join(filter(None, (known, Content.styled(standing, muted))))
        rights = [Content.assemble(whole, hint), whole]
        if self.sieve.is_active:
            rights += [known, known[: len(self._share())]]
        self.query_one(place, AdaptiveLine).set_variants(*((title, right) for right in rights for title in titles))

    def _passed(self) -> Content:
        """Return how many rows are shown, and the filter."""
        sieve = self.sieve
        parts: list[tuple[str, str]] = [(self._share(), "$text-muted")]
        if sieve.category is not None:
            parts.append((f" {sieve.category.label}", "$text-warning"))
        if sieve.text:
            parts += [(" with ", "$text-muted"), (f"“{plain(sieve.text, _TYPED)}”", "$text-warning")]
        return Content.assemble(*parts)

    def _share(self) -> str:
        return f"{len(self.sieve.visible_keys(self.rows)):,} of {len(self.rows):,}"

    def _nothing_passes(self) -> Content:
        sieve = self.sieve
        if not sieve.is_active:
            return Content("")
        kind = f" {sieve.category.label}" if sieve.category is not None else ""
        text = f" with “{plain(sieve.text, _TYPED)}”" if sieve.text else ""
        return Content.assemble(
            (f"   no {self.NOUN}{kind}{text} – ", "$text-muted"),
            (BY_ID["back"].key, "bold $key"), (" shows all", "$text-muted"),
        )  # fmt: skip

    # ── what keys do here ────────────────────────────────────────────────────────────────────────────────────────────

    async def action_filter(self) -> None:
        """Open the filter line."""
        self.query_one(FilterBar).open()

    def action_next_category(self) -> None:
        """Show the next category of rows."""
        self._note_selection()
        self.sieve.next_category(self.rows)
        self._paint_again()

    def action_copy_selected(self) -> None:
        """Copy what identifies the selected row."""
        self.app.copy_to_clipboard("\n".join(self.copied()))

    def go_back(self) -> bool:
        """Show all rows; return whether some were hidden."""
        self._note_selection()
        hid = self.sieve.clear()
        line = self.query_one(FilterBar)
        line.clear()
        line.close()
        self._paint_again()
        return hid

    @abstractmethod
    def copied(self) -> Sequence[str]:
        """Return what to copy from the selected row, one item per line."""

    @on(FilterBar.Changed)
    def _filter_changed(self, event: FilterBar.Changed) -> None:
        event.stop()
        if event.text != self.sieve.text:
            self._note_selection()
            self.sieve.text = event.text
            self._paint_again()

    @on(FilterBar.Closed)
    def _filter_left(self, event: FilterBar.Closed) -> None:
        event.stop()
        if not event.is_kept:
            self.go_back()
        self.set_focus(self.table)

    def _note_selection(self) -> None:
        """Remember the selected row, in case the filter is about to hide it."""
        selected = self.table.selected
        if self._meant is None or selected != self._stand_in:
            self._meant = selected

    def _paint_again(self) -> None:
        self.paint(self.now)
        self._stand_in = self.table.selected

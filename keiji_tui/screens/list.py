"""A full screen over a list of its own, which somebody may narrow down to a kind and to certain letters."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Generic, TypeVar

from textual import on
from textual.content import Content

from keiji_tui.actions.catalog import BY_ID
from keiji_tui.messages import FilterChanged, FilterLeft
from keiji_tui.screens.base import BaseScreen
from keiji_tui.state.list_filter import ListFilter
from keiji_tui.state.store import Store
from keiji_tui.text.sanitise import plain
from keiji_tui.widgets.adaptive_line import AdaptiveLine
from keiji_tui.widgets.filter_input import FilterBar
from keiji_tui.widgets.table import Table

T = TypeVar("T")
_TYPED = 40  # letters of a filter that are shown


class ListScreen(BaseScreen, Generic[T]):
    """Rows that a sieve lets through. What is selected stays so, also once it is shown again."""

    NOUN: ClassVar[str]  # what the rows are
    LETTERS: ClassVar[str]  # what the letters of the filter are those of

    def __init__(self, store: Store, home: str, *, readonly: bool) -> None:
        super().__init__(store, home, readonly=readonly)
        self.sieve = self.new_sieve()
        self._meant: str | None = None  # what somebody has selected, though it may be hidden
        self._stand_in: str | None = None  # what is selected for as long as it is

    @abstractmethod
    def new_sieve(self) -> ListFilter[T]:
        """Return what lets everything through at first."""

    @property
    @abstractmethod
    def rows(self) -> Mapping[str, T]:
        """All rows, in their order."""

    @property
    def table(self) -> Table:
        return self.query_one(Table)

    @property
    def has_list_keys(self) -> bool:
        return False  # those that are told of above are about the list of tasks

    def filter_line(self) -> FilterBar:
        """Return the line in which letters are typed."""
        return FilterBar(self.LETTERS)

    # ── what is shown ────────────────────────────────────────────────────────────────────────────────────────────────

    def put_rows(self, wanted: Mapping[str, int], *, newest_first: bool = False) -> None:
        """Show the rows that pass, and select again what was before it was hidden."""
        table, keys = self.table, self.sieve.visible_keys(self.rows)
        was_at_top = newest_first and table.scroll_offset.y == 0
        is_stand_in = table.selected == self._stand_in
        table.empty_text = self._nothing_passes()
        table.set_rows(keys, wanted)
        if was_at_top and table.scroll_offset.y and table.selected in keys[: table.size.height - 1]:
            table.scroll_to(y=0, animate=False, immediate=True, force=True)  # what has just come is to be seen
        if is_stand_in and self._meant is not None:
            table.select(self._meant)
            self._stand_in = table.selected

    def put_title(self, place: str, titles: Sequence[Content], note: str, standing: str = "") -> None:
        """Show what the screen is about, and on the right what of it is shown.

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
        """Return how many rows of which kind are shown, as the list of tasks has it."""
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

    def open_filter(self) -> None:
        """Let a filter be typed."""
        self.query_one(FilterBar).open()

    def next_kind(self) -> None:
        """Show the next kind of rows."""
        self._note_selection()
        self.sieve.next_category(self.rows)
        self._paint_again()

    def back(self) -> bool:
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
        """Return what of the selected row somebody would want, a line each."""

    @on(FilterChanged)
    def _filter_changed(self, event: FilterChanged) -> None:
        event.stop()
        if event.text != self.sieve.text:
            self._note_selection()
            self.sieve.text = event.text
            self._paint_again()

    @on(FilterLeft)
    def _filter_left(self, event: FilterLeft) -> None:
        event.stop()
        if not event.is_kept:
            self.back()
        self.query_one(FilterBar).close()
        self.set_focus(self.table)

    def _note_selection(self) -> None:
        """Remember what somebody has selected, in case that it is about to be hidden."""
        selected = self.table.selected
        if self._meant is None or selected != self._stand_in:
            self._meant = selected

    def _paint_again(self) -> None:
        self.paint(self.now)
        self._stand_in = self.table.selected

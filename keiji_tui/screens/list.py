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
_MAX_FILTER_LENGTH = 40  # characters of a filter that are shown


class ListScreen(BaseScreen, Generic[T]):
    """Rows that pass a filter. The selected row is selected again once the filter no longer hides it.

    Attributes:
        NOUN: what the rows are called.
        FILTER_PROMPT: the placeholder of the filter line.
    """

    NOUN: ClassVar[str]
    FILTER_PROMPT: ClassVar[str]

    def __init__(self, context: ScreenContext) -> None:
        super().__init__(context)
        self.list_filter = self.create_filter()
        self._preferred_key: str | None = None  # what the user has selected, even if it is hidden
        self._substitute_key: str | None = None  # the row that is selected while it is hidden

    @abstractmethod
    def create_filter(self) -> ListFilter[T]:
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
        return FilterBar(self.FILTER_PROMPT)

    # ── painting ────────────────────────────────────────────────────────────────────────────────────────────────

    def show_rows(self, content_widths: Mapping[str, int], *, newest_first: bool = False) -> None:
        """Show the rows that pass, and select the row that was selected before it was hidden."""
        table, keys = self.table, self.list_filter.visible_keys(self.rows)
        was_at_top = newest_first and table.scroll_offset.y == 0
        is_substitute = table.selected == self._substitute_key
        table.empty_text = self._empty_text()
        table.set_rows(keys, content_widths)
        if was_at_top and table.scroll_offset.y and table.selected in keys[: table.size.height - 1]:
            table.scroll_to(y=0, animate=False, immediate=True, force=True)  # show the new row
        if is_substitute and self._preferred_key is not None:
            table.select(self._preferred_key)
            self._substitute_key = table.selected

    def show_title(self, place: str, titles: Sequence[Content], note: str, status: str = "") -> None:
        """Show the title, and on the right which rows are shown.

        Args:
            note: how many rows there are, shown unless a filter is active.
            status: why the rows may be outdated; "" if they are current.
        """
        muted = "$text-muted"
        if self.list_filter.is_active:
            known = self._filter_summary()
            hint = Content.styled(f" {BY_ID['back'].key} shows all", muted)
        else:
            known = Content.styled(note, muted)
            keys = ("  ", (BY_ID["filter"].key, "$key"), (" filter", muted)) if self.rows else ()
            hint = Content.assemble(*keys)
        whole = Content.styled(" · ", muted).join(filter(None, (known, Content.styled(status, muted))))
        rights = [Content.assemble(whole, hint), whole]
        if self.list_filter.is_active:
            rights += [known, known[: len(self._visible_share())]]
        self.query_one(place, AdaptiveLine).set_variants(*((title, right) for right in rights for title in titles))

    def _filter_summary(self) -> Content:
        """Return how many rows are shown, and the filter."""
        list_filter = self.list_filter
        parts: list[tuple[str, str]] = [(self._visible_share(), "$text-muted")]
        if list_filter.category is not None:
            parts.append((f" {list_filter.category.label}", "$text-warning"))
        if list_filter.text:
            parts += [(" with ", "$text-muted"), (f"“{plain(list_filter.text, _MAX_FILTER_LENGTH)}”", "$text-warning")]
        return Content.assemble(*parts)

    def _visible_share(self) -> str:
        return f"{len(self.list_filter.visible_keys(self.rows)):,} of {len(self.rows):,}"

    def _empty_text(self) -> Content:
        list_filter = self.list_filter
        if not list_filter.is_active:
            return Content("")
        kind = f" {list_filter.category.label}" if list_filter.category is not None else ""
        text = f" with “{plain(list_filter.text, _MAX_FILTER_LENGTH)}”" if list_filter.text else ""
        return Content.assemble(
            (f"   no {self.NOUN}{kind}{text} – ", "$text-muted"),
            (BY_ID["back"].key, "bold $key"), (" shows all", "$text-muted"),
        )  # fmt: skip

    # ── actions ────────────────────────────────────────────────────────────────────────────────────────────

    async def action_filter(self) -> None:
        """Open the filter line."""
        self.query_one(FilterBar).open()

    def action_next_category(self) -> None:
        """Show the next category of rows."""
        self._remember_selection()
        self.list_filter.next_category(self.rows)
        self._paint_filtered()

    def action_copy_selected(self) -> None:
        """Copy what identifies the selected row."""
        self.app.copy_to_clipboard("\n".join(self.copy_lines()))

    def go_back(self) -> bool:
        """Show all rows; return whether some were hidden."""
        self._remember_selection()
        hid = self.list_filter.clear()
        line = self.query_one(FilterBar)
        line.clear()
        line.close()
        self._paint_filtered()
        return hid

    @abstractmethod
    def copy_lines(self) -> Sequence[str]:
        """Return what to copy from the selected row, one item per line."""

    @on(FilterBar.Changed)
    def _filter_changed(self, event: FilterBar.Changed) -> None:
        event.stop()
        if event.text != self.list_filter.text:
            self._remember_selection()
            self.list_filter.text = event.text
            self._paint_filtered()

    @on(FilterBar.Closed)
    def _filter_closed(self, event: FilterBar.Closed) -> None:
        event.stop()
        if not event.is_kept:
            self.go_back()
        self.set_focus(self.table)

    def _remember_selection(self) -> None:
        """Remember the selected row, in case the filter is about to hide it."""
        selected = self.table.selected
        if self._preferred_key is None or selected != self._substitute_key:
            self._preferred_key = selected

    def _paint_filtered(self) -> None:
        self.paint(self.now)
        self._substitute_key = self.table.selected

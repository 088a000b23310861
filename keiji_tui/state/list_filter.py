"""The filter of a list: a category of rows, and text that they contain. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Category(Generic[T]):
    """A category of rows: its label, and which rows belong to it."""

    label: str
    matches: Callable[[T], bool]


class ListFilter(Generic[T]):
    """Selects rows of a list.

    Args:
        search_text: returns the text of a row that is searched.
        categories: the categories, in the order in which a key cycles through them.
    """

    def __init__(self, search_text: Callable[[T], str], *categories: Category[T]) -> None:
        self.text = ""
        self.category: Category[T] | None = None
        self._cache: tuple[Mapping[str, T], str, Category[T] | None, list[str]] | None = None
        self._search_text = search_text
        self._categories = categories

    def next_category(self, rows: Mapping[str, T]) -> None:
        """Switch to the next category that has rows; after the last one, to all rows."""
        following = self._categories[self._categories.index(self.category) + 1 :] if self.category else self._categories
        self.category = next((each for each in following if any(map(each.matches, rows.values()))), None)

    def clear(self) -> bool:
        """Show all rows; return whether some may have been hidden."""
        was_active = self.is_active
        self.text, self.category = "", None
        return was_active

    @property
    def is_active(self) -> bool:
        return bool(self.text) or self.category is not None

    def visible_keys(self, rows: Mapping[str, T]) -> list[str]:
        """Return the keys of the matching rows, in their order; the same list while nothing has changed.

        Args:
            rows: not changed in place between two calls, but replaced by another mapping.
        """
        cache = self._cache
        if cache is None or cache[0] is not rows or cache[1:3] != (self.text, self.category):
            cache = self._cache = (rows, self.text, self.category, self._matching(rows))
        return cache[3]

    def _matching(self, rows: Mapping[str, T]) -> list[str]:
        if not self.is_active:
            return list(rows)
        text, category = self.text.casefold(), self.category
        return [
            key
            for key, row in rows.items()
            if (category is None or category.matches(row)) and (not text or text in self._search_text(row).casefold())
        ]

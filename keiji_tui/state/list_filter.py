"""Which rows of a list are shown: those of one kind, with certain letters. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Category(Generic[T]):
    """Rows of one kind: how they are called, and which they are."""

    label: str
    matches: Callable[[T], bool]


class ListFilter(Generic[T]):
    """What a person has narrowed a list down to.

    Args:
        search_text: returns the text of a row in which letters are looked for.
        kinds: what there is besides all, in the order in which a key goes through them.
    """

    def __init__(self, search_text: Callable[[T], str], *kinds: Category[T]) -> None:
        self.text = ""
        self.category: Category[T] | None = None
        self._search_text = search_text
        self._categories = kinds

    def next_category(self, rows: Mapping[str, T]) -> None:
        """Show the next kind of which there are any; after the last one, all."""
        following = self._categories[self._categories.index(self.category) + 1 :] if self.category else self._categories
        self.category = next((kind for kind in following if any(map(kind.matches, rows.values()))), None)

    def clear(self) -> bool:
        """Hide nothing any more; return whether something was to be hidden."""
        hid = self.is_active
        self.text, self.category = "", None
        return hid

    @property
    def is_active(self) -> bool:
        return bool(self.text) or self.category is not None

    def visible_keys(self, rows: Mapping[str, T]) -> list[str]:
        """Return the keys of the rows to show, in their order."""
        if not self.is_active:
            return list(rows)
        wanted, kind = self.text.casefold(), self.category
        return [
            key
            for key, row in rows.items()
            if (kind is None or kind.matches(row)) and (not wanted or wanted in self._search_text(row).casefold())
        ]

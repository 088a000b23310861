"""Which rows of a list are shown: those of one kind, with certain letters. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Category(Generic[T]):
    """Rows of one kind: how they are called, and which they are."""

    word: str
    fits: Callable[[T], bool]


class ListFilter(Generic[T]):
    """What a person has narrowed a list down to.

    Args:
        letters: returns the text of a row in which letters are looked for.
        kinds: what there is besides all, in the order in which a key goes through them.
    """

    def __init__(self, letters: Callable[[T], str], *kinds: Category[T]) -> None:
        self.text = ""
        self.kind: Category[T] | None = None
        self._letters = letters
        self._kinds = kinds

    def next_kind(self, rows: Mapping[str, T]) -> None:
        """Show the next kind of which there are any; after the last one, all."""
        following = self._kinds[self._kinds.index(self.kind) + 1 :] if self.kind else self._kinds
        self.kind = next((kind for kind in following if any(map(kind.fits, rows.values()))), None)

    def show_all(self) -> bool:
        """Hide nothing any more; return whether something was to be hidden."""
        hid = self.hides
        self.text, self.kind = "", None
        return hid

    @property
    def hides(self) -> bool:
        return bool(self.text) or self.kind is not None

    def of(self, rows: Mapping[str, T]) -> list[str]:
        """Return the keys of the rows to show, in their order."""
        if not self.hides:
            return list(rows)
        wanted, kind = self.text.casefold(), self.kind
        return [
            key
            for key, row in rows.items()
            if (kind is None or kind.fits(row)) and (not wanted or wanted in self._letters(row).casefold())
        ]

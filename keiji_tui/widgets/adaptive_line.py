"""A line that adapts to its width."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.widget import Widget

Sides = tuple[Content, Content]


class AdaptiveLine(Widget):
    """Content on the left and on the right, in variants; the first one that fits is shown."""

    DEFAULT_CSS = """
    AdaptiveLine { height: 1; width: 1fr; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._variants: Sequence[Sides] = ()

    def set_variants(self, *variants: Sides) -> None:
        """Show the first of ``variants`` that fits, or else the last one with its left side truncated."""
        if not _are_same(self._variants, variants):
            self._variants = variants
            self.refresh()

    def render(self) -> Content:
        width = self.size.width
        for left, right in self._variants:
            room = width - right.cell_length
            if left.cell_length < room or (not right and left.cell_length <= room):
                return Content.assemble(left.truncate(room, pad=True), right)
        if not self._variants:
            return Content("")
        left, right = self._variants[-1]
        if right.cell_length + 8 > width:
            return left.truncate(width, ellipsis=True)
        return Content.assemble(left.truncate(width - right.cell_length - 1, ellipsis=True, pad=True), " ", right)


def _are_same(one: Sequence[Sides], other: Sequence[Sides]) -> bool:
    if len(one) != len(other):
        return False
    return all(a.is_same(b) for sides in zip(one, other, strict=True) for a, b in zip(*sides, strict=True))

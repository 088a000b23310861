"""Contrast of colours, as the Web Content Accessibility Guidelines (WCAG 2) define it."""

from __future__ import annotations

from collections.abc import Iterable

from textual.color import Color

TEXT = 4.5  # minimum ratio of text
DISABLED = 3.0  # minimum ratio of disabled items, and of symbols
_BLACK, _WHITE = Color(0, 0, 0), Color(255, 255, 255)
_STEP = 0.05


def contrast_ratio(one: Color, other: Color) -> float:
    """Return the contrast of two opaque colours, from 1 (the same) to 21 (black and white)."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def readable(text: Color, backgrounds: Iterable[Color], minimum: float, *, is_dark: bool) -> Color:
    """Return ``text``, lightened in a dark theme and darkened in a light one until it stands out from all backgrounds.

    The result is white or black if no other colour reaches ``minimum``.
    """
    known = [_luminance(background) + 0.05 for background in backgrounds]
    extreme = _WHITE if is_dark else _BLACK
    for step in range(round(1 / _STEP) + 1):
        shade = text.blend(extreme, step * _STEP)
        luminance = _luminance(shade) + 0.05
        if all(max(luminance, each) / min(luminance, each) >= minimum for each in known):
            return shade
    return extreme


def subtle(background: Color, base: Color, maximum: float) -> Color:
    """Return ``background``, moved towards ``base`` until their contrast is at most ``maximum``."""
    for step in range(round(1 / _STEP)):
        shade = background.blend(base, step * _STEP)
        if contrast_ratio(shade, base) <= maximum:
            return shade
    return base


def _luminance(colour: Color) -> float:
    """Return the relative luminance of an opaque colour, from 0 to 1."""
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour.normalized
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue

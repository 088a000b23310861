"""The colours of keiji: calm, so that what is not calm stands out."""

from __future__ import annotations

from textual.theme import Theme

DARK = Theme(
    name="keiji",
    dark=True,
    primary="#7aa2c8",
    secondary="#8a94a8",
    accent="#8fb8c9",
    foreground="#d5d9e0",
    background="#14171c",
    surface="#1a1e25",
    panel="#222832",
    success="#8bb87a",
    warning="#d9b36c",
    error="#e07a7a",
    variables={
        "text-muted": "#8a94a3",
        "text-disabled": "#687180",
        "text-success": "#8bb87a",
        "text-warning": "#d9b36c",
        "text-error": "#e88a8a",
        "text-accent": "#8fb8c9",
        "row-selected": "#222832",
        "row-focused": "#2c3f55",
        "key": "#b9c7dc",
        "scrollbar": "#2b3340",
        "scrollbar-background": "#14171c",
        "scrollbar-background-hover": "#14171c",
        "scrollbar-background-active": "#14171c",
        "scrollbar-hover": "#3b4656",
        "scrollbar-active": "#4a5870",
        "scrollbar-corner-color": "#14171c",
    },
)

# Names that our own style sheets use and a theme of the toolkit does not have.
FALLBACKS = {"row-selected": "$panel", "row-focused": "$primary 30%", "key": "$text-primary"}

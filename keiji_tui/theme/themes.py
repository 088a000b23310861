"""The colours of keiji: calm, so that what is not calm stands out."""

from __future__ import annotations

from textual.color import Color
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
        "text-muted": "#99a3b2",
        "text-disabled": "#687180",
        "text-success": "#8bb87a",
        "text-warning": "#d9b36c",
        "text-error": "#e88a8a",
        "text-accent": "#8fb8c9",
        "row-selected": "#222832",
        "row-focused": "#263a52",
        "key": "#b9c7dc",
        "bar": "#7aa2c8",
        "scrollbar": "#2b3340",
        "scrollbar-background": "#14171c",
        "scrollbar-background-hover": "#14171c",
        "scrollbar-background-active": "#14171c",
        "scrollbar-hover": "#3b4656",
        "scrollbar-active": "#4a5870",
        "scrollbar-corner-color": "#14171c",
    },
)

LIGHT = Theme(
    name="keiji-light",
    dark=False,
    primary="#2f5f8f",
    secondary="#667085",
    accent="#1f6f8b",
    foreground="#1f2630",
    background="#f7f6f3",
    surface="#efede8",
    panel="#e4e2db",
    success="#2f6a2d",
    warning="#9a6a00",
    error="#a82c32",
    variables={
        "text-muted": "#525b69",
        "text-disabled": "#7a828e",
        "text-success": "#2f6a2d",
        "text-warning": "#7a5400",
        "text-error": "#a82c32",
        "text-accent": "#1a637d",
        "row-selected": "#e4e2db",
        "row-focused": "#cfdcea",
        "key": "#274a6d",
        "bar": "#2f5f8f",
        "scrollbar": "#c9c6bd",
        "scrollbar-background": "#f7f6f3",
        "scrollbar-background-hover": "#f7f6f3",
        "scrollbar-background-active": "#f7f6f3",
        "scrollbar-hover": "#b3b0a6",
        "scrollbar-active": "#9c998f",
        "scrollbar-corner-color": "#f7f6f3",
    },
)

KEIJI_THEMES = (DARK, LIGHT)


def custom_variables(theme: Theme) -> dict[str, str]:
    """Return values for the names that our own style sheets use and a theme of the toolkit does not have."""
    colours = theme.to_color_system().generate()
    if colours["panel"] == "transparent":  # those that leave colours to the terminal have no shades
        return {
            "row-selected": "ansi_bright_black",
            "row-focused": "ansi_blue",
            "key": "ansi_default",
            "bar": "ansi_default",
        }
    return {
        "row-selected": colours["panel"],
        "row-focused": colours["primary-muted"],
        "key": colours["text-primary"],
        "bar": colours["primary"],
    }


def resolve_auto_colours(variables: dict[str, str]) -> dict[str, str]:
    """Return a theme's variables with colours in place of "auto 60%", which is a shade in style sheets alone.

    Our text is content with styles of its own, in which it would be as bright as everything else.
    """
    found = dict(variables)
    for name in ("text-muted", "text-disabled"):
        word, _, share = variables[name].partition(" ")
        if word == "auto" and share.endswith("%"):
            behind, before = (Color.parse(variables[each]) for each in ("background", "foreground"))
            found[name] = behind.blend(before, float(share[:-1]) / 100).hex
    return found

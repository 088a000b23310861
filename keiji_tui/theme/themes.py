"""The themes of keiji, and the colours that its style sheets need from any theme."""

from __future__ import annotations

from functools import lru_cache

from textual.color import Color
from textual.theme import Theme

from keiji_tui.theme.contrast import DISABLED, TEXT, readable, subtle

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
        "text-disabled": "#7e8693",
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
    success="#2c642a",
    warning="#9a6a00",
    error="#a82c32",
    variables={
        "text-muted": "#525b69",
        "text-disabled": "#6d757f",
        "text-success": "#2c642a",
        "text-warning": "#7a5400",
        "text-error": "#a82c32",
        "text-accent": "#185e76",
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


_TEXTS = (
    "foreground", "text-muted", "text-primary", "text-secondary", "text-success", "text-warning", "text-error",
    "text-accent", "key",
)  # fmt: skip
_SYMBOLS = ("text-disabled", "bar")
_BACKGROUNDS = (
    "surface", "panel", "row-selected", "row-focused", "banner-warning", "banner-error", "banner-offer",
)  # fmt: skip
_MAX_BACKGROUND_CONTRAST = (
    1.7  # of a background with that of the screen; beyond it, coloured text would lose its colour
)


def custom_variables(theme: Theme) -> dict[str, str]:
    """Return values for the variables of our style sheets, for a theme that does not define them."""
    colours = theme.to_color_system().generate()
    if not _has_fixed_colours(colours):
        return {
            "row-selected": "ansi_bright_black",
            "row-focused": "ansi_blue",
            "banner-warning": f"{colours['warning']} 25%",
            "banner-error": f"{colours['error']} 25%",
            "banner-offer": f"{colours['warning']} 18%",
            "key": "ansi_default",
            "bar": "ansi_default",
        }
    background, warning, error = (Color.parse(colours[name]) for name in ("background", "warning", "error"))
    return {
        "row-selected": colours["panel"],
        "row-focused": colours["primary-muted"],
        "banner-warning": background.blend(warning, 0.18).hex,
        "banner-error": background.blend(error, 0.2).hex,
        "banner-offer": background.blend(warning, 0.12).hex,
        "key": colours["text-primary"],
        "bar": colours["primary"],
    }


def readable_variables(variables: dict[str, str], *, is_dark: bool) -> dict[str, str]:
    """Return the variables of a theme, with colours adjusted where text would not stand out from its background.

    Shades such as "auto 60%" become colours: they are valid in style sheets only, whereas most of our text is content
    with styles of its own. Themes that use the terminal's palette are returned as they are, as their colours are not
    known here.
    """
    if not _has_fixed_colours(variables):
        return variables
    return {**variables, **_readable(tuple(variables.items()), is_dark=is_dark)}


@lru_cache(4)
def _readable(items: tuple[tuple[str, str], ...], *, is_dark: bool) -> dict[str, str]:
    variables = dict(items)
    base, foreground = Color.parse(variables["background"]), Color.parse(variables["foreground"])
    backgrounds = {name: subtle(Color.parse(variables[name]), base, _MAX_BACKGROUND_CONTRAST) for name in _BACKGROUNDS}
    behind = (base, *backgrounds.values())

    def adjusted(name: str, minimum: float) -> str:
        return readable(_parse(variables[name], base, foreground), behind, minimum, is_dark=is_dark).hex

    found = {name: colour.hex for name, colour in backgrounds.items()}
    found |= {name: adjusted(name, TEXT) for name in _TEXTS}
    found |= {name: adjusted(name, DISABLED) for name in _SYMBOLS}
    # The selection of inputs, lists and the screen looks like the selected row of a table.
    for widget in ("block-cursor", "input-selection", "screen-selection"):
        found |= {f"{widget}-background": found["row-focused"], f"{widget}-foreground": found["foreground"]}
    return found


def _parse(value: str, background: Color, foreground: Color) -> Color:
    """Return a colour, or the shade between background and foreground that "auto 60%" stands for."""
    word, _, share = value.partition(" ")
    if word == "auto" and share.endswith("%"):
        return background.blend(foreground, float(share[:-1]) / 100)
    return Color.parse(value)


def _has_fixed_colours(variables: dict[str, str]) -> bool:
    return not variables["background"].startswith("ansi") and variables["panel"] != "transparent"

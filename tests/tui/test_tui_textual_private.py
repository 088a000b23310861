"""Private names of Textual that the terminal uses or overrides: a table that says why, and fails when it is wrong."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import keiji_tui

# Each name, with the reason why there is no public one.
USED = {
    ("app", "_check_bindings"): "runs what a key is bound to, and says whether it was bound",
    ("app", "_notifications"): "the messages on the screen, of which an older one is replaced",
    ("app", "_unnotify"): "removes one message",
    ("screens.palette", "_GATHER_COMMANDS_GROUP"): "the palette may still be searching while it closes;",
    ("screens.palette", "_gather_commands"): "a search result for a removed widget would end the app,",
    ("screens.palette", "_watch__list_visible"): "so these methods first check",
    ("screens.palette", "_watch__show_busy"): "that the widget still exists",
    ("terminal.input_parser", "_sequence_to_key_events"): "makes two keys of escape and a key in one packet",
    ("widgets.table", "_get_style"): "paints one line of content in the styles of a widget",
    ("widgets.text_view", "_get_style"): "the same",
}

PUBLIC = {"_replace", "_asdict", "_exit"}  # of named tuples and of os: public, in spite of their names


def classes() -> Iterator[type]:
    """Yield the classes of the terminal that derive from one of Textual."""
    for info in pkgutil.walk_packages(keiji_tui.__path__, "keiji_tui."):
        if info.name.endswith("__main__"):
            continue
        for kind in vars(importlib.import_module(info.name)).values():
            if inspect.isclass(kind) and kind.__module__ == info.name and any(map(is_textual, kind.__mro__)):
                yield kind


def is_textual(kind: type) -> bool:
    return kind.__module__.startswith("textual.")


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


@cache
def names_in(kind: type, *, only_own: bool = False) -> frozenset[str]:
    """Return the private names that a class defines, or also those that it uses on itself."""
    names = set()
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(kind)))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and is_private(node.name):
            names.add(node.name)
        is_self = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
        is_super = isinstance(node, ast.Attribute) and ast.unparse(node.value) == "super()"
        if (is_self or is_super) and is_private(node.attr) and not (only_own and isinstance(node.ctx, ast.Load)):
            names.add(node.attr)
    return frozenset(names)


def used_on_itself() -> set[tuple[str, str]]:
    """Return the private names that classes share with classes of Textual that they derive from."""
    found = set()
    for kind in classes():
        theirs = {name for base in kind.__mro__ if is_textual(base) for name in names_in(base, only_own=True)}
        module = kind.__module__.removeprefix("keiji_tui.")
        found |= {(module, name) for name in names_in(kind) & theirs}
    return found


def used_on_others() -> set[tuple[str, str]]:
    """Return the private names that modules use on anything but ``self`` and that are not their own."""
    folder = Path(keiji_tui.__file__).parent
    trees = {path: ast.parse(path.read_text()) for path in folder.rglob("*.py")}
    own: set[str] = set()
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                own.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                own.add(node.attr)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                own.add(node.target.id)
    return {
        (".".join(path.relative_to(folder).with_suffix("").parts), node.attr)
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in own | PUBLIC
        if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))
        if ast.unparse(node.value) != "super()"
    }


def test_private_names_of_textual_are_those_of_the_table() -> None:
    assert used_on_itself() | used_on_others() == set(USED)

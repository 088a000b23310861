"""The one rule that turns verbs written as options into verbs written as words.

``keiji task --build --name=ping_google --restart`` means ``keiji task build ping_google --restart``. Everything behind
this file knows the second form only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from keiji.errors import UsageError

VERBS = {
    "task": (
        "create", "build", "get", "list", "runs", "next", "explain", "logs", "enable", "disable", "pause", "resume",
        "delete", "resolve", "restart", "run", "stop",
    ),
    "system": ("start", "stop", "restart", "status", "pause", "resume", "logs", "uninstall"),
}  # fmt: skip

# Options that take the next word as their value, whatever that word looks like.
_TAKE_A_VALUE = frozenset({"--desc", "--schedule", "--lines", "--limit", "-n", "--count", "--from", "--reason"})


def normalize_argv(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of ``keiji`` with the verb as a word and ``--name`` as what the verb is about.

    Raises:
        UsageError: there is no verb, an unknown one, or more than one.
    """
    if len(arguments) < 2 or arguments[0] not in VERBS:
        return list(arguments)
    group, rest = arguments[0], list(arguments[1:])
    word = [rest.pop(0)] if not rest[0].startswith("-") else []
    flags, names, others = _sorted_out(rest, () if word else VERBS[group], takes_names=group == "task")
    if not word:
        if "--help" in others and not flags:
            return [group, "--help"]
        word, beside = _one_verb(group, flags, others)
        others += beside
    # Behind "--", a name that begins with a dash is a name still, and is refused as one.
    return [group, *word, *others, *(["--", *names] if names else [])]


def nearest(wanted: str, known: Iterable[str], *, nearness: float = 0.6) -> str:
    """Return a hint that has the nearest of ``known``, or all of them where none is near (0 to 1: the same)."""
    import difflib  # of use after a slip only, and 3 ms

    known = list(known)
    near = difflib.get_close_matches(wanted.casefold(), known, n=1, cutoff=nearness)
    return f"did you mean {near[0]}?" if near else f"one of {', '.join(known)}"


def _sorted_out(words: Sequence[str], verbs: Sequence[str], *, takes_names: bool) -> tuple[list[str], ...]:
    """Return the verbs, the names and all else among ``words``, each in order."""
    flags: list[str] = []
    names: list[str] = []
    others: list[str] = []
    coming = iter(words)
    for word in coming:
        option, equals, value = word.partition("=")
        if takes_names and option == "--name":
            name = value if equals else next(coming, None)
            if name is None:
                raise UsageError("--name needs the name of a task", hint="such as --name=ping_google")
            names.append(name)
        elif word in _TAKE_A_VALUE:
            others += [word, *(value for value in [next(coming, None)] if value is not None)]
        elif word == "--":
            others += [word, *coming]
        elif word.startswith("--") and word[2:] in verbs:
            flags.append(word[2:])
        else:
            others.append(word)
    return flags, names, others


def _one_verb(group: str, flags: Sequence[str], others: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the verb, and the options that belong beside it."""
    found = list(dict.fromkeys(flags))
    beside = []
    if "build" in found and "restart" in found:  # the one verb that is also an option of another
        found.remove("restart")
        beside = ["--restart"]
    if len(found) == 1:
        return found, beside
    options = [f"--{verb}" for verb in VERBS[group]]
    if found:
        both = " and ".join(f"--{verb}" for verb in found)
        raise UsageError(f"keiji {group} does one thing at a time: {both} are {len(found)}")
    slip = next((word for word in others if word.startswith("--")), "")
    raise UsageError(
        f"keiji {group} needs to know what to do" + (f"; {slip} does not say" if slip else ""),
        hint=nearest(slip, options, nearness=0.75),
    )

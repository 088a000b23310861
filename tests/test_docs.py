"""Examples, tables and commands of the documentation match the code."""

from __future__ import annotations

import ast
import json
import re
import select
import subprocess
import sys
from dataclasses import fields
from datetime import UTC, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args

from installation import TIMEOUT, Installation

from keiji.parameters import convert_arguments, parameters_of, signature
from keiji.policy import Policy
from keiji.reasons import Code, Reason, render
from keiji.records import Run
from keiji.run_context import run_variables
from keiji.schedule import EPOCH, to_schedule
from keiji.schedule.base import DstFold, DstGap
from keiji.schedule.parse import parse_schedule
from keiji.settings import template
from keiji.states import TRANSITIONS, RunState, Trigger
from keiji_engine.builds.environment import INHERITED
from keiji_engine.builds.task_file import DEFAULT_SHELL, parse_task_file
from keiji_engine.builds.task_file import KEYS as TASK_FILE_KEYS
from keiji_engine.builds.workspace_file import parse_defaults
from keiji_engine.bus import protocol as p
from keiji_tui.actions.action import Risk, key_label
from keiji_tui.actions.catalog import ACTIONS

DOCS = Path(__file__).parent.parent / "docs"


def blocks(page: str, language: str) -> list[str]:
    """Return the fenced blocks of a page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)


def test_protocol_examples_are_what_the_code_sends() -> None:
    decode = {
        **dict.fromkeys(map(p.tag_of, get_args(p.AnyRequest)), p.decode_request),
        **dict.fromkeys(map(p.tag_of, get_args(p.AnyReply)), p.decode_reply),
        **dict.fromkeys(map(p.tag_of, get_args(p.AnyBroadcast)), p.decode_broadcast),
    }
    seen = set()
    for line in blocks("protocol.md", "json")[0].splitlines():
        kind = json.loads(line)["type"]
        message = decode[kind]([p.VERSION, line.encode()])
        assert p.encode(message)[1].decode() == line
        seen.add(kind)
    assert seen == set(decode), "a message without an example"


def test_protocol_page_names_every_message() -> None:
    text = (DOCS / "protocol.md").read_text()
    for message in (*get_args(p.AnyRequest), *get_args(p.AnyReply), *get_args(p.AnyBroadcast), *get_args(p.AnyEvent)):
        assert f"`{p.tag_of(message)}`" in text, message


def test_example_of_defaults_is_valid() -> None:
    [example] = blocks("time.md", "toml")
    defaults = parse_defaults(example)
    assert defaults.policy.given == {"tz", "timeout", "retry"}
    assert defaults.env == {"PGHOST": "db1"}


def test_schedule_and_policy_examples_are_valid() -> None:
    schedules, _, policy = blocks("time.md", "python")
    names: dict[str, object] = {}
    exec(policy, names)
    lines = schedules.splitlines()
    exec(lines[0], names)
    examples = [eval(line, names) for line in lines[2:]]
    assert len(examples) == 11
    for schedule in map(to_schedule, examples):
        context = Policy().schedule_context(anchor=EPOCH, zone="Africa/Nairobi")
        assert schedule.with_context(context).next_after(EPOCH) is not None


def test_event_examples_are_valid() -> None:
    names: dict[str, object] = {}
    first, *lines = blocks("time.md", "python")[1].splitlines()
    exec(first, names)
    examples = [to_schedule(eval(line, names)) for line in lines[1:]]
    assert len(examples) == 4
    assert all(example.events for example in examples)


def test_texts_of_schedules_mean_what_the_table_says() -> None:
    section = (DOCS / "time.md").read_text().partition("### As text")[2].partition("\n\n`keiji when`")[0]
    rows = re.findall(r"^\| (`.*`) \| (.*) \|$", section, re.MULTILINE)
    assert len(rows) > 10
    for texts, expressions in rows:
        forms = [parse_schedule(each).source_form() for each in re.findall("`(.+?)`", expressions)]
        for number, text in enumerate(re.findall("`(.+?)`", texts)):
            form = parse_schedule(text).source_form()
            assert form in forms or (number > 0 and "…" in expressions), text


def test_time_page_names_every_field_of_a_policy() -> None:
    text = (DOCS / "time.md").read_text()
    for field in fields(Policy):
        assert f"`{field.name}" in text, field.name


def test_tasks_page_has_a_valid_task_file_with_every_key() -> None:
    [example] = blocks("tasks.md", "toml")
    task_file = parse_task_file(example)
    assert task_file.argv[0] == "./backup.sh"
    assert task_file.policy is not None
    rows = {name: cells for names, *cells in table("tasks.md", "key") for name in re.findall(r"`\[?(\w+)\]?`", names)}
    assert set(rows) == set(TASK_FILE_KEYS)
    defaults = parse_task_file("")
    for key, (_, _, default) in rows.items():
        if default.startswith("`") and key != "shell_program":
            assert list_or_text(ast.literal_eval(default.strip("`"))) == getattr(defaults, key), key
    assert ast.literal_eval(rows["shell_program"][2].strip("`")) == DEFAULT_SHELL[0]


def list_or_text(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def test_tasks_page_has_the_values_and_defaults_of_every_policy_key() -> None:
    rows = {name: cells for names, *cells in table("tasks.md", "key in `[policy]`") for name in names.split("`")[1::2]}
    assert list(rows) == [field.name for field in fields(Policy)]
    policy = Policy()
    for key, (values, default) in rows.items():
        actual = getattr(policy, key)
        assert default.startswith("`") == (actual is not None and key != "retry"), key
        if default.startswith("`"):
            assert ast.literal_eval(default.strip("`")) == actual, key
        allowed = re.findall(r'"(\w+)"', values) if values.startswith('`"') else []
        for value in allowed:
            parse_task_file(f'[policy]\n{key} = "{value}"\n')
        if isinstance(actual, StrEnum):
            assert allowed == list(type(actual)), key
    assert re.findall(r'"(\w+)"', rows["dst_gap"][0]) == list(DstGap)
    assert re.findall(r'"(\w+)"', rows["dst_fold"][0]) == list(DstFold)
    task_file = parse_task_file(f"[policy]\nretry = {rows['retry'][0].strip('`')}\n")
    assert task_file.policy is not None
    assert all(re.search(rf"\b{field.name} = ", rows["retry"][0]) for field in fields(task_file.policy.retry))


def table(page: str, first: str) -> list[list[str]]:
    """Return the rows of the table of a page whose first heading is ``first``."""
    text = (DOCS / page).read_text().partition(f"\n| {first} |")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines()[2:]]


def test_tasks_page_names_every_variable_of_a_run_and_its_functions_work() -> None:
    moment = EPOCH + timedelta(days=1)
    run = Run(
        run_id="1", task="a", trigger=Trigger.MANUAL, state=RunState.STARTING, created_at=moment, scheduled_for=moment,
        covers=2, covers_from=EPOCH,
    )  # fmt: skip
    variables = run_variables(run, task="a", build=Path("/b"), params={"day": "x"}, zone=UTC)
    text = (DOCS / "tasks.md").read_text()
    assert set(re.findall(r"^\| `(KEIJI_\w+)` \|", text, re.MULTILINE)) == set(variables)
    [(_, triggers)] = [row for row in table("tasks.md", "variable") if row[0] == "`KEIJI_TRIGGER`"]
    assert set(re.findall(r"`(\w+)`", triggers)) == set(Trigger)
    section = text.partition("### The other variables")[2].partition("\n## ")[0]
    others = set(re.findall(r"`([A-Z_]+)`", section))
    assert others == {name for name in INHERITED if name.isupper()}
    assert {name.upper() for name in INHERITED} == others
    names: dict[str, Any] = {}
    with_parameters, with_run = blocks("tasks.md", "python")
    exec(with_parameters, names)
    assert signature("function", parameters_of(names["function"])) == (
        "function(day: date = 2026-11-01, dry_run: bool = False)"
    )
    names["function"](**convert_arguments(names["function"], {"day": "2026-11-02", "dry_run": "yes"}))
    exec(with_run, names)
    names["function"]()


def modules(package: str) -> set[str]:
    """Return the paths of the modules of a package, relative to it. Of the ``__init__.py`` files, only its own."""
    folder = DOCS.parent / package
    paths = (path.relative_to(folder) for path in folder.rglob("*.py"))
    return {str(path) for path in paths if path.name != "__init__.py" or (package, len(path.parts)) == ("keiji", 1)}


def test_map_of_the_architecture_page_is_complete_and_names_only_existing_modules() -> None:
    sections = re.findall(
        r"^### `(\w+)/`\n(.*?)(?=^##)", (DOCS / "architecture.md").read_text(), re.MULTILINE | re.DOTALL
    )
    named = {package: re.findall(r"`([\w/]+\.py)`", text) for package, text in sections}
    for package in ("keiji", "keiji_engine", "keiji_cli", "keiji_tui"):
        assert set(named[package]) == modules(package), package
    for package, paths in named.items():
        assert len(paths) == len(set(paths)), f"a module of {package} is in two rows"
        assert set(paths) <= modules(package), package


def test_modules_named_in_the_documentation_exist() -> None:
    for page in (DOCS.parent / "README.md", DOCS.parent / "CHANGELOG.md", *DOCS.glob("*.md")):
        for path in re.findall(r"`((?:keiji\w*|task_template|tests)/[\w/]+\.py)`", page.read_text()):
            assert (DOCS.parent / path).is_file(), f"{page.name}: {path}"


def test_readme_names_every_setting() -> None:
    text = (DOCS.parent / "README.md").read_text()
    for key in re.findall(r"^(\w+)=", template("UTC"), re.MULTILINE):
        assert f"`{key}`" in text, key


def test_example_clients_list_the_tasks_and_print_events(shared: Installation) -> None:
    shared.build("ping")
    lists, listens = blocks("protocol.md", "python")[:2]
    assert len([line for line in lists.splitlines() if line]) <= 10
    with subprocess.Popen(
        [sys.executable, "-c", listens, shared.paths.runtime], stdout=subprocess.PIPE, text=True
    ) as listening:
        try:
            printed = subprocess.run(
                [sys.executable, "-c", lists, shared.paths.runtime],
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
                check=True,
            ).stdout
            assert listening.stdout is not None
            while not select.select([listening.stdout], [], [], 0)[0]:  # it is not connected yet
                shared.do(p.Disable(task="ping"))
                shared.do(p.Enable(task="ping"))
            first, second = listening.stdout.readline().split(), listening.stdout.readline().split()
        finally:
            listening.kill()
    assert printed.startswith("ping every hour 20")
    assert int(second[0]) == int(first[0]) + 1
    assert {first[1], second[1]} <= {"directive-changed", "task-changed"}


def test_pictures_are_used_have_alternative_text_and_are_self_contained() -> None:
    pages = [DOCS.parent / "README.md", *DOCS.glob("*.md")]
    pictures = [
        (page.parent / path, alternative_text)
        for page in pages
        for alternative_text, path in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", page.read_text())
    ]
    assert {path for path, _ in pictures} == set((DOCS / "pictures").iterdir())
    assert all(len(alternative_text) > 10 for _, alternative_text in pictures)
    for path in {path for path, _ in pictures}:
        text = path.read_text()
        assert len(text) < 100_000, path
        links = re.findall(r"https?://[^\s\"'<)]+", text)
        assert set(links) <= {"http://www.w3.org/2000/svg", "https://www.textualize.io"}, path
        assert "@font-face" not in text, path
        assert not re.search(r"/(?:tmp|home|root|work|Users)/|keiji-\w{8}", text), path


def keys_table() -> str:
    """Return the table of keys that docs/terminal.md must contain."""
    rows = ["| where | key | what it does | confirmation |", "| --- | --- | --- | --- |"]
    for action in (action for action in ACTIONS if not action.is_fixed):
        keys = " ".join(f"`{key_label(key)}`" for key in action.keys)
        asks = "" if action.risk is Risk.NONE else action.risk.value
        rows.append(f"| {action.scope.value} | {keys} | {action.help} | {asks} |")
    return "\n".join(rows) + "\n"


def test_key_table_matches_the_declared_actions() -> None:
    assert keys_table() in (DOCS / "terminal.md").read_text()


def state_diagram() -> str:
    """Return the transition table as a Mermaid state diagram."""
    initial = (RunState.QUEUED, RunState.STARTING, RunState.SKIPPED, RunState.MISSED, RunState.COALESCED)
    lines = ["stateDiagram-v2", *(f"    [*] --> {state}" for state in initial)]
    for state, successors in TRANSITIONS.items():
        lines += [f"    {state} --> {successor}" for successor in sorted(successors) or ["[*]"]]
    return "\n".join(lines) + "\n"


def test_state_diagram_matches_the_transition_table() -> None:
    assert blocks("states.md", "mermaid") == [state_diagram()]


# ── reasons ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def reason_parameters() -> dict[str, set[str]]:
    """Return the parameters of each code, from the calls of `keiji.reasons.reason` in the source code."""
    found: dict[str, set[str]] = {Code.TEXT: {"text"}}
    for path in (DOCS.parent / "keiji_engine").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "reason"):
                continue
            code = node.args[0]
            assert isinstance(code, ast.Attribute), f"{path}:{node.lineno}: name the code in the call"
            names = {str(keyword.arg) for keyword in node.keywords} - {"cause"}
            found.setdefault(Code[code.attr], set()).update(names)
    return found


def test_the_table_of_reasons_lists_every_code_with_its_parameters_and_its_text() -> None:
    section = (DOCS / "states.md").read_text().partition("## Reasons")[2]
    rows = re.findall(r"^\| `([\w-]+)` \| (?:`(.*?)`)? ?\| (.*) \|$", section, re.MULTILINE)
    assert [code for code, _, _ in rows] == list(Code)
    used = reason_parameters()
    assert used.keys() == set(Code), "a code that is never used"
    for code, params, text in rows:
        example = Reason(code, json.loads(params or "{}"))
        assert example.params.keys() == used[code], code
        assert render(example) == text

"""Documentation that can rot is run."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import get_args

from installation import EVERY_SECOND, LIMIT, Installation

from keiji.policy import Policy
from keiji.reasons import Code, Reason, render
from keiji.schedule import EPOCH, Schedule
from keiji.settings import template
from keiji.states import diagram
from keiji_engine.bus import protocol as p
from keiji_tui.actions import Risk, shown
from keiji_tui.keymap import ACTIONS

DOCS = Path(__file__).parent.parent / "docs"


def blocks(page: str, language: str) -> list[str]:
    """Return the fenced blocks of a page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)


def test_every_example_of_the_protocol_is_what_the_code_sends() -> None:
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


def test_every_message_has_its_line_on_the_page() -> None:
    text = (DOCS / "protocol.md").read_text()
    for message in (*get_args(p.AnyRequest), *get_args(p.AnyReply), *get_args(p.AnyBroadcast), *get_args(p.AnyEvent)):
        assert f"`{p.tag_of(message)}`" in text, message


def test_the_examples_of_schedules_and_policies_are_what_they_say() -> None:
    schedules, policy = blocks("time.md", "python")
    names: dict[str, object] = {}
    exec(policy, names)
    lines = schedules.splitlines()
    exec(lines[0], names)
    found = [eval(line, names) for line in lines[2:]]
    assert len(found) == 10
    assert all(isinstance(schedule, Schedule) for schedule in found)
    for schedule in found:
        place = Policy().schedule_context(anchor=EPOCH, zone="Africa/Nairobi")
        assert schedule.with_context(place).next_after(EPOCH) is not None


def test_the_page_on_time_names_every_choice_of_a_policy() -> None:
    text = (DOCS / "time.md").read_text()
    for field in fields(Policy):
        assert f"`{field.name}" in text, field.name


def test_the_readme_names_every_setting() -> None:
    text = (DOCS.parent / "README.md").read_text()
    for key in re.findall(r"^(\w+)=", template("UTC"), re.MULTILINE):
        assert f"`{key}`" in text, key


def test_the_client_of_ten_lines_lists_the_tasks_and_the_one_that_listens_prints_events(
    installation: Installation,
) -> None:
    installation.build("ping")
    installation.build("tick", schedule=EVERY_SECOND)
    installation.start()
    lists, listens = blocks("protocol.md", "python")[:2]
    assert len([line for line in lists.splitlines() if line]) <= 10
    with subprocess.Popen(
        [sys.executable, "-c", listens, installation.paths.runtime], stdout=subprocess.PIPE, text=True
    ) as listening:
        try:
            printed = subprocess.run(
                [sys.executable, "-c", lists, installation.paths.runtime],
                capture_output=True,
                text=True,
                timeout=LIMIT,
                check=True,
            ).stdout
            assert listening.stdout is not None
            first, second = listening.stdout.readline().split(), listening.stdout.readline().split()
        finally:
            listening.kill()
    assert printed.startswith("ping every hour 20")
    assert int(second[0]) == int(first[0]) + 1
    assert first[1] in {"run-changed", "task-changed"}


def test_the_commands_of_the_readme_work_in_their_order(installation: Installation) -> None:
    readme = (DOCS.parent / "README.md").read_text()
    steps = re.findall(r"^(keiji .*)$", readme.partition("## Twelve steps")[2], re.MULTILINE)
    assert len(steps) >= 12
    function, schedule = (block for block in re.findall(r"```python\n(.*?)```", readme, re.DOTALL))
    environment = installation.environment | {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    for step in steps:
        command = f"{step} --yes" if "--uninstall" in step else step
        done = subprocess.run(
            command, shell=True, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        if "--create" in step:
            folder = installation.paths.source("ping_google")
            (folder / "function.py").write_text(function)
            (folder / "schedule.py").write_text(schedule)
    assert not installation.paths.database.exists()


def test_every_picture_is_shown_somewhere_with_words_and_needs_nothing_from_elsewhere() -> None:
    pages = [DOCS.parent / "README.md", *DOCS.glob("*.md")]
    shown = [
        (page.parent / path, words)
        for page in pages
        for words, path in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", page.read_text())
    ]
    assert {path for path, _ in shown} == set((DOCS / "pictures").iterdir())
    assert all(len(words) > 10 for _, words in shown)
    for path in {path for path, _ in shown}:
        text = path.read_text()
        assert len(text) < 100_000, path
        links = re.findall(r"https?://[^\s\"'<)]+", text)
        assert set(links) <= {"http://www.w3.org/2000/svg", "https://www.textualize.io"}, path
        assert "@font-face" not in text, path
        assert not re.search(r"/(?:tmp|home|root|work|Users)/|keiji-\w{8}", text), path


def keys_table() -> str:
    """Return the table of keys as it has to stand in docs/terminal.md."""
    rows = ["| where | key | what it does | asks |", "| --- | --- | --- | --- |"]
    for action in ACTIONS:
        keys = " ".join(f"`{shown(key)}`" for key in action.keys)
        asks = "" if action.risk is Risk.NONE else action.risk.value
        rows.append(f"| {action.place.value} | {keys} | {action.help} | {asks} |")
    return "\n".join(rows) + "\n"


def test_the_table_of_keys_is_that_of_the_declarations() -> None:
    assert keys_table() in (DOCS / "terminal.md").read_text()


def test_the_diagram_of_states_is_the_table_in_the_code() -> None:
    assert blocks("states.md", "mermaid") == [diagram() + "\n"]


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

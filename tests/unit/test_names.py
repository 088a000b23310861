"""Task names: valid and invalid names, their slugs, and lookup."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from keiji.errors import InvalidName, TaskNotFound
from keiji.names import MAX_NAME_LENGTH, MAX_SLUG_BYTES, find_slug, natural_sort_key, slug_of, validate
from keiji.paths import Paths

VALID = {
    "ping_google": "ping_google",
    "ping google": "ping_google",
    "  blanks around  ": "blanks_around",
    "naïve café": "naïve_café",
    "日本語のタスク": "日本語のタスク",
    "[red]brackets[red]": "red_brackets_red",
    """it's "quoted" `and` $more""": "it_s_quoted_and_more",
    "a..b": "a..b",
    "50% off; rm -rf *": "50_off_rm_-rf",
    "☕ coffee": "coffee",
    "v1.2": "v1.2",
    "x" * MAX_NAME_LENGTH: "x" * MAX_NAME_LENGTH,
}
INVALID = {
    "": "the task name is empty",
    "   ": "the task name is empty",
    "x" * 200: "has 200 characters; at most 100 are allowed",
    "../x": "contains a slash",
    "a/b": "contains a slash",
    "a\\b": "contains a slash",
    "[red]brackets[/red]": "contains a slash",
    "..": "starts with '.'",
    ".hidden": "starts with '.'",
    "--force": "starts with '-'",
    "two\nlines": "control character",
    "bell\a": "control character",
    "nul\0": "control character",
    "\x1b[31mred": "control character",
    "line\u2028separator": "control character",
    "lone \udcff surrogate": "control character",
    "turned \u202egnp.exe": "control character",
    "turned \u2067gnp.exe": "control character",
    "!!!": "no letter or digit",
    "☕": "no letter or digit",
    "\u200b": "no letter or digit",
    "_.-": "no letter or digit",
    "all": "reserved by the command line",
    "none": "reserved by the command line",
    "語" * 61: "exceed 180 bytes",
}


@pytest.mark.parametrize(("name", "slug"), VALID.items())
def test_a_valid_name_has_a_slug(name: str, slug: str) -> None:
    assert validate(name) == name.strip()
    assert slug_of(name) == slug


@pytest.mark.parametrize(("name", "reason"), INVALID.items())
def test_an_invalid_name_is_rejected_with_the_reason(name: str, reason: str) -> None:
    with pytest.raises(InvalidName) as caught:
        validate(name)
    assert reason in str(caught.value)
    assert caught.value.message.isprintable()


def test_names_are_normalized() -> None:
    decomposed = unicodedata.normalize("NFD", "café")
    assert decomposed != "café"
    assert validate(decomposed) == "café"
    assert slug_of(decomposed) == "café"


@given(st.text(max_size=130) | st.from_regex(r"[./\\ _\-a]{1,12}"))
@example("../x")
@example("a/../../b")
def test_the_paths_of_a_valid_name_stay_in_their_folders(name: str) -> None:
    try:
        valid_name = validate(name)
    except InvalidName:
        return
    slug = slug_of(valid_name)
    root = Path("/keiji root")
    paths = Paths(root / "workspace", root / "data", root / "logs", root / "run")
    for path, parent in (
        (paths.source(slug), paths.tasks),
        (paths.link(slug), paths.links),
        (paths.task_log(slug), paths.logs / "tasks" / slug),
    ):
        assert path.parent == parent
        assert os.path.normpath(path) == str(path)
        assert len(path.name.encode()) <= MAX_SLUG_BYTES + len(".log")
    assert not slug.startswith((".", "-"))
    assert slug_of(slug) == slug
    assert validate(valid_name) == valid_name


@given(st.text(max_size=50), st.text(max_size=50))
def test_a_slug_contains_only_letters_digits_and_three_punctuation_characters(one: str, two: str) -> None:
    slug = slug_of(one + "/" + two)
    assume(slug)
    assert all(char.isalnum() or char in "_.-" for char in slug)


TASKS = [("ping google", "ping_google"), ("Café", "Café"), ("backup", "backup")]


@pytest.mark.parametrize("query", ["ping google", "ping_google", " ping google "])
def test_a_task_is_found_by_name_and_by_slug(query: str) -> None:
    assert find_slug(query, TASKS) == "ping_google"


def test_a_task_is_found_in_any_unicode_normalization() -> None:
    assert find_slug(unicodedata.normalize("NFD", "Café"), TASKS) == "Café"


@pytest.mark.parametrize(
    ("query", "suggestion"),
    [("ping_gogle", "ping google"), ("BACKUP", "backup"), ("bakcup", "backup"), ("cafe", "Café")],
)
def test_a_misspelled_name_is_rejected_with_the_closest_match(query: str, suggestion: str) -> None:
    with pytest.raises(TaskNotFound) as caught:
        find_slug(query, TASKS)
    assert caught.value.message == f"there is no task {query!r}"
    assert caught.value.hint == f"did you mean {suggestion!r}?"


def test_an_unknown_name_is_rejected_with_a_hint() -> None:
    with pytest.raises(TaskNotFound) as caught:
        find_slug("zzz", TASKS)
    assert "shows all tasks" in caught.value.hint
    with pytest.raises(TaskNotFound) as caught:
        find_slug("zzz", [])
    assert "no tasks yet" in caught.value.hint


def test_names_are_sorted_in_natural_order() -> None:
    names = ["jobs", "job 10", "job", "job 2 b", "2", "Job 2"]
    assert sorted(names, key=natural_sort_key) == ["2", "job", "Job 2", "job 2 b", "job 10", "jobs"]


@given(st.text(st.sampled_from("aB10 ²٣")), st.text(st.sampled_from("aB10 ²٣")))
@example("ping2", "ping")
def test_natural_order_is_total(one: str, other: str) -> None:
    assert (natural_sort_key(one) < natural_sort_key(other)) + (natural_sort_key(other) < natural_sort_key(one)) == (
        one != other
    )

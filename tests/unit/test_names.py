"""Names of tasks: what works, what is refused and why, and that no folder lies outside its place."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from keiji.errors import InvalidName, TaskNotFound
from keiji.names import LONGEST_NAME, LONGEST_SLUG_BYTES, find, natural_sort_key, slug_of, validate
from keiji.paths import Paths

ALLOWED = {
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
    "x" * LONGEST_NAME: "x" * LONGEST_NAME,
}
REFUSED = {
    "": "needs a name",
    "   ": "needs a name",
    "x" * 200: "has 200 characters; 100 is the most",
    "../x": "has a slash",
    "a/b": "has a slash",
    "a\\b": "has a slash",
    "[red]brackets[/red]": "has a slash",
    "..": "begins with '.'",
    ".hidden": "begins with '.'",
    "--force": "begins with '-'",
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
    "all": "a word of the command line",
    "none": "a word of the command line",
    "語" * 61: "over 180 bytes",
}


@pytest.mark.parametrize(("name", "slug"), ALLOWED.items())
def test_a_name_that_works_gets_a_folder(name: str, slug: str) -> None:
    assert validate(name) == name.strip()
    assert slug_of(name) == slug


@pytest.mark.parametrize(("name", "reason"), REFUSED.items())
def test_a_name_that_does_not_work_is_refused_with_the_reason(name: str, reason: str) -> None:
    with pytest.raises(InvalidName) as caught:
        validate(name)
    assert reason in str(caught.value)
    assert caught.value.message.isprintable()


def test_a_name_is_the_same_however_its_accents_are_written() -> None:
    decomposed = unicodedata.normalize("NFD", "café")
    assert decomposed != "café"
    assert validate(decomposed) == "café"
    assert slug_of(decomposed) == "café"


@given(st.text(max_size=130) | st.from_regex(r"[./\\ _\-a]{1,12}"))
@example("../x")
@example("a/../../b")
def test_whatever_is_allowed_stays_in_its_folder(name: str) -> None:
    try:
        allowed = validate(name)
    except InvalidName:
        return
    slug = slug_of(allowed)
    root = Path("/keiji root")
    paths = Paths(root / "workspace", root / "data", root / "logs", root / "run")
    for place, parent in (
        (paths.source(slug), paths.tasks),
        (paths.link(slug), paths.links),
        (paths.task_log(slug), paths.logs / "tasks" / slug),
    ):
        assert place.parent == parent
        assert os.path.normpath(place) == str(place)
        assert len(place.name.encode()) <= LONGEST_SLUG_BYTES + len(".log")
    assert not slug.startswith((".", "-"))
    assert slug_of(slug) == slug
    assert validate(allowed) == allowed


@given(st.text(max_size=50), st.text(max_size=50))
def test_a_slug_is_made_of_letters_digits_and_three_signs(one: str, two: str) -> None:
    slug = slug_of(one + "/" + two)
    assume(slug)
    assert all(letter.isalnum() or letter in "_.-" for letter in slug)


TASKS = [("ping google", "ping_google"), ("Café", "Café"), ("backup", "backup")]


@pytest.mark.parametrize("wanted", ["ping google", "ping_google", " ping google "])
def test_a_task_is_found_by_its_name_and_by_its_slug(wanted: str) -> None:
    assert find(wanted, TASKS) == "ping_google"


def test_a_task_is_found_however_its_accents_are_written() -> None:
    assert find(unicodedata.normalize("NFD", "Café"), TASKS) == "Café"


@pytest.mark.parametrize(
    ("wanted", "meant"), [("ping_gogle", "ping google"), ("BACKUP", "backup"), ("bakcup", "backup"), ("cafe", "Café")]
)
def test_a_name_that_is_nearly_right_gets_the_one_that_was_probably_meant(wanted: str, meant: str) -> None:
    with pytest.raises(TaskNotFound) as caught:
        find(wanted, TASKS)
    assert caught.value.message == f"there is no task {wanted!r}"
    assert caught.value.hint == f"did you mean {meant!r}?"


def test_a_name_like_no_other_gets_the_way_to_the_list() -> None:
    with pytest.raises(TaskNotFound) as caught:
        find("zzz", TASKS)
    assert "shows all tasks" in caught.value.hint
    with pytest.raises(TaskNotFound) as caught:
        find("zzz", [])
    assert "there are none yet" in caught.value.hint


def test_names_are_sorted_as_people_count() -> None:
    names = ["jobs", "job 10", "job", "job 2 b", "2", "Job 2"]
    assert sorted(names, key=natural_sort_key) == ["2", "job", "Job 2", "job 2 b", "job 10", "jobs"]


@given(st.text(st.sampled_from("aB10 ²٣")), st.text(st.sampled_from("aB10 ²٣")))
@example("ping2", "ping")
def test_of_two_names_one_comes_first(one: str, other: str) -> None:
    assert (natural_sort_key(one) < natural_sort_key(other)) + (natural_sort_key(other) < natural_sort_key(one)) == (
        one != other
    )

"""settings.conf: parsing, and the errors for invalid lines."""

from __future__ import annotations

import traceback
from pathlib import Path
from zoneinfo import available_timezones

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from keiji.errors import InvalidSettings
from keiji.settings import DEFAULT_LOG_MAX_SIZE, Settings, load, parse, template


def test_the_template_has_the_defaults_and_the_given_zone(tmp_path: Path) -> None:
    path = tmp_path / "settings.conf"
    path.write_text(template("Africa/Nairobi"))
    assert load(path) == Settings(time_zone="Africa/Nairobi")


def test_values_are_parsed_with_comments_quotes_and_spaces() -> None:
    text = """
        # a comment
        DB_URL = "postgresql://me:secret@localhost:5432/keiji"
        TIME_ZONE=America/New_York
        ROTATE_LOGS=0
        LOG_MAX_SIZE='1024'
    """
    assert parse(text) == Settings("postgresql://me:secret@localhost:5432/keiji", "America/New_York", False, 1024)


def test_missing_keys_keep_their_defaults() -> None:
    assert parse("") == Settings("default", "UTC", True, DEFAULT_LOG_MAX_SIZE)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("default", "sqlite"),
        ("postgres://me@host/keiji", "postgresql"),
        ("postgresql://postgres:@/postgres?host=/run/server", "postgresql"),
    ],
)
def test_the_database_kind_follows_from_the_url(url: str, kind: str) -> None:
    assert parse(f"DB_URL={url}").database_kind == kind


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("DB_URL=mysql://host/db", "DB_URL='mysql://host/db': expected default, or postgresql://"),
        ("DB_URL=postgresql://host", "DB_URL='postgresql://host': expected default, or postgresql://"),
        ("DB_URL=postgresql://[::1/db", "DB_URL='postgresql://[::1/db': expected default, or postgresql://"),
        ("DB_URL=", "DB_URL='': expected default"),
        (
            "TIME_ZONE=Africa/Nairoby",
            "TIME_ZONE='Africa/Nairoby': expected a time zone as Continent/City; did you mean 'Africa",
        ),
        ("TIME_ZONE=EAT+3!", "expected a time zone as Continent/City"),
        ("TIME_ZONE=../../etc/passwd", "expected a time zone as Continent/City"),
        ("ROTATE_LOGS=yes", "ROTATE_LOGS='yes': expected 1 (rotate) or 0 (do not rotate)"),
        ("LOG_MAX_SIZE=10MB", "LOG_MAX_SIZE='10MB': expected a number of bytes, 0 or more"),
        ("LOG_MAX_SIZE=-1", "LOG_MAX_SIZE='-1': expected a number of bytes"),
        ("LOG_MAX_SIZE=٣", "expected a number of bytes"),
        ("ROTATE_LOG=1", "unknown setting 'ROTATE_LOG'; did you mean 'ROTATE_LOGS'?"),
        ("rotate_logs=1", "unknown setting 'rotate_logs'; did you mean 'ROTATE_LOGS'?"),
        ("COLOUR=red", "expected one of DB_URL, TIME_ZONE, ROTATE_LOGS, LOG_MAX_SIZE"),
        ("just words", "expected KEY=value, not 'just words'"),
    ],
)
def test_an_invalid_line_is_rejected_with_key_value_and_allowed_values(line: str, message: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        parse(f"# first\n\n{line}\n", "/home/me/keiji/settings.conf")
    assert str(caught.value).startswith("/home/me/keiji/settings.conf, line 3: ")
    assert message in str(caught.value)


def test_a_duplicate_key_is_rejected_with_both_line_numbers() -> None:
    with pytest.raises(InvalidSettings, match="line 3: ROTATE_LOGS is already set in line 1"):
        parse("ROTATE_LOGS=1\n\nROTATE_LOGS=0")


@pytest.mark.parametrize(
    "line",
    [
        "DB_URL=mysql://me:hunter2@host/db",
        "DB_URL=postgresql://me:hunter2@host",
        "DB_URL=postgresql://me:hunter2@ho\u2100st/db",  # urlsplit quotes the invalid URL
        "DB_URL=mysql://host/db?user=me&password=hunter2",
        "DB_URL: postgresql://me:hunter2@host/db",
        "DB_UURL=postgresql://me:hunter2@host/db",
        "DB_URL: postgresql://me:hunter2@host/db?sslmode=require",
        "TIME_ZONE=postgresql://me:hunter2@host/db",
    ],
)
def test_no_error_contains_the_password(line: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        parse(line)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_the_repr_of_settings_does_not_contain_the_url() -> None:
    assert "hunter2" not in repr(parse("DB_URL=postgresql://me:hunter2@host/db"))


def test_a_missing_or_undecodable_file_is_rejected_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "settings.conf"
    with pytest.raises(InvalidSettings, match=r"settings\.conf does not exist") as caught:
        load(path)
    assert "keiji init" in caught.value.hint
    path.write_bytes(b"ROTATE_LOGS=1\nTIME_ZONE=\xff\xfe")
    with pytest.raises(InvalidSettings, match=r"settings\.conf, line 2: it is not valid UTF-8"):
        load(path)


@pytest.mark.parametrize(("rotate", "size", "limit"), [("1", "1024", 1024), ("1", "0", None), ("0", "1024", None)])
def test_the_log_limit_depends_on_both_settings(rotate: str, size: str, limit: int | None) -> None:
    assert parse(f"ROTATE_LOGS={rotate}\nLOG_MAX_SIZE={size}").log_limit == limit


@given(st.text())
@example("DB_URL=postgresql://[")
@example("LOG_MAX_SIZE=" + "9" * 5000)
def test_any_text_is_parsed_or_rejected_with_a_line_number(text: str) -> None:
    try:
        error = "" if parse(text) == Settings() else "other settings"
    except InvalidSettings as caught:
        error = caught.message
    assert error == "" or error.startswith("settings.conf, line ")


def test_every_zone_of_the_system_is_accepted() -> None:
    for name in available_timezones():
        assert parse(f"TIME_ZONE={name}").time_zone == name

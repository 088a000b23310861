"""settings.conf: what is read, and that a bad line is named with everything needed to mend it."""

from __future__ import annotations

import traceback
from pathlib import Path
from zoneinfo import available_timezones

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from keiji.errors import InvalidSettings
from keiji.settings import DEFAULT_LOG_MAX_SIZE, Settings, load, local_zone, parse, template


def test_the_file_that_init_writes_is_the_defaults_in_the_machines_zone(tmp_path: Path) -> None:
    path = tmp_path / "settings.conf"
    path.write_text(template("Africa/Nairobi"))
    assert load(path) == Settings(time_zone="Africa/Nairobi")


def test_all_four_keys_are_read() -> None:
    text = """
        # a comment
        DB_URL = "postgresql://me:secret@localhost:5432/keiji"
        TIME_ZONE=America/New_York
        ROTATE_LOGS=0
        LOG_MAX_SIZE='1024'
    """
    assert parse(text) == Settings("postgresql://me:secret@localhost:5432/keiji", "America/New_York", False, 1024)


def test_what_is_not_there_keeps_its_default() -> None:
    assert parse("") == Settings("default", "UTC", True, DEFAULT_LOG_MAX_SIZE)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("default", "sqlite"),
        ("postgres://me@host/keiji", "postgresql"),
        ("postgresql://postgres:@/postgres?host=/run/server", "postgresql"),
    ],
)
def test_the_database_is_told_from_its_url(url: str, kind: str) -> None:
    assert parse(f"DB_URL={url}").database_kind == kind


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("DB_URL=mysql://host/db", "DB_URL='mysql://host/db'; allowed: default, or postgresql://"),
        ("DB_URL=postgresql://host", "DB_URL='postgresql://host'; allowed: default, or postgresql://"),
        ("DB_URL=postgresql://[::1/db", "DB_URL='postgresql://[::1/db'; allowed: default, or postgresql://"),
        ("DB_URL=", "DB_URL=''; allowed: default"),
        (
            "TIME_ZONE=Africa/Nairoby",
            "TIME_ZONE='Africa/Nairoby'; allowed: a zone as Continent/City; did you mean Africa",
        ),
        ("TIME_ZONE=EAT+3!", "allowed: a zone as Continent/City"),
        ("TIME_ZONE=../../etc/passwd", "allowed: a zone as Continent/City"),
        ("ROTATE_LOGS=yes", "ROTATE_LOGS='yes'; allowed: 1 (rotate) or 0 (do not)"),
        ("LOG_MAX_SIZE=10MB", "LOG_MAX_SIZE='10MB'; allowed: a number of bytes, 0 or more"),
        ("LOG_MAX_SIZE=-1", "LOG_MAX_SIZE='-1'; allowed: a number of bytes"),
        ("LOG_MAX_SIZE=٣", "allowed: a number of bytes"),
        ("ROTATE_LOG=1", "there is no setting 'ROTATE_LOG'; did you mean ROTATE_LOGS?"),
        ("rotate_logs=1", "there is no setting 'rotate_logs'; did you mean ROTATE_LOGS?"),
        ("COLOUR=red", "the keys are DB_URL, TIME_ZONE, ROTATE_LOGS, LOG_MAX_SIZE"),
        ("just words", "'just words' is not of the form KEY=value"),
    ],
)
def test_a_bad_line_is_named_with_key_value_and_what_is_allowed(line: str, told: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        parse(f"# first\n\n{line}\n", "/home/me/keiji/settings.conf")
    assert str(caught.value).startswith("/home/me/keiji/settings.conf, line 3: ")
    assert told in str(caught.value)


def test_a_key_that_is_set_twice_is_an_error_that_names_both_lines() -> None:
    with pytest.raises(InvalidSettings, match="line 3: ROTATE_LOGS is set already, in line 1"):
        parse("ROTATE_LOGS=1\n\nROTATE_LOGS=0")


@pytest.mark.parametrize(
    "line",
    [
        "DB_URL=mysql://me:hunter2@host/db",
        "DB_URL=postgresql://me:hunter2@host",
        "DB_URL=postgresql://me:hunter2@ho\u2100st/db",  # urlsplit quotes what it refuses
        "DB_URL=mysql://host/db?user=me&password=hunter2",
        "DB_URL: postgresql://me:hunter2@host/db",
        "DB_UURL=postgresql://me:hunter2@host/db",
        "DB_URL: postgresql://me:hunter2@host/db?sslmode=require",
        "TIME_ZONE=postgresql://me:hunter2@host/db",
    ],
)
def test_no_error_shows_the_password(line: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        parse(line)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_printing_settings_does_not_show_the_url() -> None:
    assert "hunter2" not in repr(parse("DB_URL=postgresql://me:hunter2@host/db"))


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "settings.conf"
    with pytest.raises(InvalidSettings, match=r"settings\.conf is not there") as caught:
        load(path)
    assert "keiji init" in caught.value.hint
    path.write_bytes(b"ROTATE_LOGS=1\nTIME_ZONE=\xff\xfe")
    with pytest.raises(InvalidSettings, match=r"settings\.conf, line 2: there is a byte in it"):
        load(path)


@pytest.mark.parametrize(("rotate", "size", "limit"), [("1", "1024", 1024), ("1", "0", None), ("0", "1024", None)])
def test_logs_are_limited_where_both_settings_say_so(rotate: str, size: str, limit: int | None) -> None:
    assert parse(f"ROTATE_LOGS={rotate}\nLOG_MAX_SIZE={size}").log_limit == limit


@given(st.text())
@example("DB_URL=postgresql://[")
@example("LOG_MAX_SIZE=" + "9" * 5000)
def test_any_text_is_read_or_refused_with_its_line(text: str) -> None:
    try:
        told = "" if parse(text) == Settings() else "other settings"
    except InvalidSettings as error:
        told = error.message
    assert told == "" or told.startswith("settings.conf, line ")


def test_each_zone_of_the_system_is_a_zone() -> None:
    for name in available_timezones():
        assert parse(f"TIME_ZONE={name}").time_zone == name


def test_the_machines_zone_is_that_of_tz_or_of_its_link(tmp_path: Path) -> None:
    zones = tmp_path / "zoneinfo" / "Pacific"
    zones.mkdir(parents=True)
    (zones / "Apia").touch()
    link = tmp_path / "localtime"
    link.symlink_to(zones / "Apia")
    assert local_zone({}, link) == "Pacific/Apia"
    assert local_zone({"TZ": ":Europe/Dublin"}, link) == "Europe/Dublin"
    assert local_zone({"TZ": "<+03>-3"}, link) == "Pacific/Apia"
    assert local_zone({}, tmp_path / "none") == "UTC"

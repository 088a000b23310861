"""keiji.toml: its defaults are read, and every mistake is reported with its line, its key and what is allowed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keiji.errors import InvalidSettings
from keiji.policy import Overlap, Policy, Retry
from keiji_engine.builds.workspace_file import Defaults, parse_defaults, read_defaults

COMPLETE = """\
[defaults]
zone = "Europe/Berlin"

[defaults.policy]
timeout = "30m"
overlap = "queue"
retry = { tries = 3, delay = "10s" }

[defaults.env]
PGHOST = "db1"
"""

policies = st.fixed_dictionaries(
    {},
    optional={
        "overlap": st.sampled_from(Overlap),
        "timeout": st.sampled_from([None, 1.0, 60.0]),
        "queue": st.integers(1, 20),
        "retry": st.builds(Retry, tries=st.integers(1, 5)),
        "tz": st.sampled_from([None, "Europe/Berlin", "Africa/Nairobi"]),
    },
)


def test_every_key_is_read() -> None:
    found = parse_defaults(COMPLETE)
    assert found.policy == Policy(timeout=1800, overlap="queue", retry=Retry(tries=3, delay=10), tz="Europe/Berlin")
    assert found.policy.given == {"timeout", "overlap", "retry", "tz"}
    assert found.env == {"PGHOST": "db1"}


def test_without_a_file_or_without_defaults_nothing_is_set(tmp_path: Path) -> None:
    assert read_defaults(tmp_path) == parse_defaults("") == parse_defaults("[defaults]") == Defaults()
    assert read_defaults(tmp_path).policy.given == frozenset()
    (tmp_path / "keiji.toml").write_text(COMPLETE)
    assert read_defaults(tmp_path) == parse_defaults(COMPLETE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[defaults]\nzone =\n", "keiji.toml, line 2: "),
        ("[default]", "keiji.toml, line 1: unknown key 'default'; did you mean 'defaults'?"),
        ("[defaults]\ntimeout = 3", "keiji.toml, line 2: unknown key 'timeout' in [defaults]; expected one of zone"),
        ("defaults = 3", "keiji.toml, line 1: defaults = 3: expected a table, [defaults]"),
        ("[defaults.policy]\n\ntimout = 3", "keiji.toml, line 3: unknown key 'timout' in [defaults.policy]; did you"),
        ("[defaults.policy]\noverlap = 'nix'", "keiji.toml, line 2: overlap='nix': expected one of 'skip', 'queue'"),
        ("[defaults.policy.retry]\ntries = 0", "keiji.toml, line 2: tries=0: expected a whole number from 1 to 100"),
        ("[defaults]\npolicy = []", "keiji.toml, line 2: policy = []: expected a table, [defaults.policy]"),
        ("[defaults]\nzone = 'Berlin'", "keiji.toml, line 2: zone = 'Berlin': unknown time zone; "),
        ("[defaults]\nzone = 1", "keiji.toml, line 2: zone = 1: unknown time zone; "),
        ("[defaults]\nzone = 'UTC'\npolicy.tz = 'UTC'", "keiji.toml, line 3: tz is the same as zone on line 2; keep"),
        ("[defaults.env]\n1A = 'x'", "keiji.toml, line 2: '1A' in [defaults.env] is not a valid name"),
        ("[defaults.env]\nKEIJI_RUN = 'x'", "keiji.toml, line 2: KEIJI_RUN in [defaults.env]: names that start with"),
        ("[defaults.env]\nA = [1]", "keiji.toml, line 2: A = [1]: expected text or a number"),
    ],
)
def test_a_mistake_is_reported_with_its_line_and_what_is_allowed(text: str, message: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        parse_defaults(text)
    assert caught.value.message.startswith(message), caught.value.message


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "keiji.toml").mkdir()
    with pytest.raises(InvalidSettings, match=r"^keiji\.toml cannot be read"):
        read_defaults(tmp_path)
    (tmp_path / "keiji.toml").rmdir()
    (tmp_path / "keiji.toml").write_bytes(b"[defaults]\nzone = '\xff'\n")
    with pytest.raises(InvalidSettings, match=r"^keiji\.toml, line 2: not valid UTF-8"):
        read_defaults(tmp_path)


@given(policies, policies)
def test_what_a_task_sets_wins_even_if_it_equals_the_default(own: dict[str, object], others: dict[str, object]) -> None:
    policy, defaults = Policy(**own), Policy(**others)
    merged = policy.with_defaults(defaults)
    assert merged == Policy(**{**others, **own})
    assert merged.given == own.keys() | others.keys()
    # What a policy sets survives storage, so that other defaults can be applied later.
    stored = Policy.from_dict(json.loads(json.dumps(policy.to_dict())))
    assert (stored, stored.given) == (policy, policy.given)
    assert stored.with_defaults(defaults) == merged

"""``keiji.toml`` in the workspace: defaults for all tasks, under version control."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from keiji.errors import InvalidPolicy, InvalidSettings
from keiji.formats import quote
from keiji.policy import Policy
from keiji_engine.builds.snapshot import read_regular_file
from keiji_engine.builds.toml_reader import TomlReader

FILE = "keiji.toml"
MAX_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Defaults:
    """What applies to every task that does not set it itself.

    Args:
        policy: `Policy.given` says which options it sets.
        env: environment variables of runs.
    """

    policy: Policy = field(default_factory=Policy)
    env: dict[str, str] = field(default_factory=dict)


def read_defaults(workspace: Path) -> Defaults:
    """Return the ``[defaults]`` in the keiji.toml of a workspace; empty ones without that file.

    Raises:
        InvalidSettings: the file cannot be read, or is invalid: file, line, key, and what is allowed there.
    """
    try:
        content = read_regular_file(workspace / FILE)
    except FileNotFoundError:
        return Defaults()
    except OSError as error:
        raise InvalidSettings(f"{FILE} cannot be read: {error.strerror or error}") from error
    if len(content) > MAX_BYTES:
        raise InvalidSettings(f"{FILE} has {len(content):,} bytes; at most {MAX_BYTES:,} are allowed")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidSettings(f"{FILE}, line {line}: not valid UTF-8") from error
    return parse_defaults(text)


def parse_defaults(text: str) -> Defaults:
    """Return the ``[defaults]`` in the text of a keiji.toml. Raises InvalidSettings as `read_defaults` does."""
    return _Parser.from_text(text, FILE, InvalidSettings).parse()


class _Parser(TomlReader):
    def parse(self) -> Defaults:
        self.check_keys("", self.data, ("defaults",))
        self.check_keys("defaults", self.table("defaults"), ("zone", "env", "policy"))
        policy = self.policy("defaults.policy") or Policy()
        return Defaults(self._zone().with_defaults(policy), self.env("defaults.env"))

    def _zone(self) -> Policy:
        """Return a policy with the default time zone, if there is one."""
        if not self.has("defaults.zone"):
            return Policy()
        if self.has("defaults.policy.tz"):
            line = self.lines.get("defaults.zone")
            raise self.error("defaults.policy.tz", f"tz is the same as zone on line {line}; keep one of them")
        zone = self.table("defaults")["zone"]
        try:
            return Policy(tz=zone)
        except InvalidPolicy as error:
            problem = error.message.partition("): ")[2]
            raise self.error("defaults.zone", f"zone = {quote(zone)}: {problem}", error.hint) from error

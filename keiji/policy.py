"""What happens around a run: how long it may take, how it is stopped, whether it is tried again."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from keiji.errors import InvalidPolicy

LONGEST_SECONDS = 366 * 86400.0  # a year: longer waits are mistakes, and no date could hold some of them


def _number(name: str, value: Any, *, least: float, most: float = LONGEST_SECONDS, of: str = " of seconds") -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise InvalidPolicy(f"{name}={value!r}: a number{of} from {least:g} to {most:,.0f} is needed")
    return float(value)


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a failed run is tried again.

    Args:
        tries: attempts in all, the first one included; 1 means never again.
        delay: seconds between the end of the first attempt and the start of the second.
        backoff: what the delay is multiplied by after each further attempt, until it is a year; from 1 to 1000.

    Raises:
        InvalidPolicy: a value is outside its range.
    """

    tries: int = 1
    delay: float = 0.0
    backoff: float = 1.0

    def __post_init__(self) -> None:
        if isinstance(self.tries, bool) or not isinstance(self.tries, int) or not 1 <= self.tries <= 100:
            raise InvalidPolicy(f"Retry(tries={self.tries!r}): a whole number from 1 to 100 is needed")
        object.__setattr__(self, "delay", _number("Retry(delay)", self.delay, least=0))
        object.__setattr__(self, "backoff", _number("Retry(backoff)", self.backoff, least=1, most=1000, of=""))

    def delay_after(self, attempt: int) -> float | None:
        """Return the seconds to wait after failed attempt number ``attempt`` (from 1), or None when it was the last."""
        if attempt >= self.tries:
            return None
        return min(self.delay * self.backoff ** (attempt - 1), LONGEST_SECONDS)


@dataclass(frozen=True, slots=True)
class Policy:
    """What a task's author asks for around each run.

    Args:
        timeout: seconds after which a run is stopped and counts as timed out; None for no limit.
        stop_grace: seconds between asking a run to end (SIGTERM) and making it (SIGKILL).
        retry: how often a failed or timed-out run is tried again.

    Raises:
        InvalidPolicy: a value is outside its range.
    """

    timeout: float | None = None
    stop_grace: float = 10.0
    retry: Retry = field(default_factory=Retry)

    def __post_init__(self) -> None:
        if self.timeout is not None:
            object.__setattr__(self, "timeout", _number("Policy(timeout)", self.timeout, least=0.001))
        object.__setattr__(self, "stop_grace", _number("Policy(stop_grace)", self.stop_grace, least=0))
        if not isinstance(self.retry, Retry):
            raise InvalidPolicy(f"Policy(retry={self.retry!r}): a Retry(tries=…, delay=…) is needed")

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data; `from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Policy:
        """Read what `to_dict` wrote. Unknown keys, as a newer version may write, are passed over."""
        known = {f.name for f in fields(cls)}
        values = {key: value for key, value in data.items() if key in known}
        if "retry" in values:
            retry_known = {f.name for f in fields(Retry)}
            values["retry"] = Retry(**{k: v for k, v in values["retry"].items() if k in retry_known})
        return cls(**values)

    def words(self) -> str:
        """Return what differs from the defaults, for people; "" when nothing does."""
        parts = []
        if self.timeout is not None:
            parts.append(f"timeout {self.timeout:g} s")
        if self.retry.tries > 1:
            parts.append(f"up to {self.retry.tries} tries")
        if self.stop_grace != 10.0:
            parts.append(f"stop grace {self.stop_grace:g} s")
        return ", ".join(parts)

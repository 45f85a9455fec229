"""What a bench sends, how often, and how many requests at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from foundry_rest.checks import is_number, whole_number
from foundry_rest.errors import ConfigError

SWEEP: Final = "sweep"
#: Most tokens of one run, each of whose times is kept in 8 bytes: 80 MB.
MOST_TOKENS = 10_000_000
#: Requests at a time that a sweep ends at, which is also how many a client lets through by default.
MOST_SWEPT = 64
#: Most requests at a time where the number is given: each has a thread.
MOST_CONCURRENCY = 1000
#: Names of the figures that have a bound in goodput; ``e2el`` is how vLLM spells ``e2e``.
_BOUNDS = {"ttft": "ttft", "tpot": "tpot", "e2e": "e2e", "e2el": "e2e"}


class BenchSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a bench sends, and how.

    Attributes:
        model: Alias or id; ``None`` for the client's own.
        requests: Requests of one run; in a sweep at least four for each that is under way.
        concurrency: Requests at a time, or ``"sweep"``: 1, 2, 4 and so on, until throughput no longer grows
            by 5 %.
        repeat: Runs at each number of requests at a time; the median is told, and the spread.
        warmup: Requests before the first run, one after the other; they are in no figure.
        seed: What the words of the prompts are drawn from.
        prompt_tokens: Length of the prompts that are made.
        max_tokens: Most tokens of an answer.
        prompts: Prompts to send in turn, in place of those that are made.
        goodput: Bounds in seconds, by ``"ttft"``, ``"tpot"`` or ``"e2e"``, that a good request meets.

    Raises:
        ConfigError: A value cannot be used.
    """

    model: str | None = None
    requests: int = 20
    concurrency: int | Literal["sweep"] = SWEEP
    repeat: int = 1
    warmup: int = 2
    seed: int = 0
    prompt_tokens: int = 128
    max_tokens: int = 64
    prompts: tuple[str, ...] = ()
    goodput: Mapping[str, float] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, least, most in _NUMBERS:
            whole_number(name, getattr(self, name), least, most)
        if not self.is_sweep and not isinstance(self.concurrency, int):
            raise ConfigError(f'concurrency must be a whole number, or "sweep", not {self.concurrency!r}')
        whole_number("concurrency", self.level_from, 1, MOST_CONCURRENCY)
        most = MOST_SWEPT if self.is_sweep else self.level_from
        if self.requests_at(most) * self.max_tokens > MOST_TOKENS:
            raise ConfigError(
                f"the requests of a run and max_tokens must multiply to at most {MOST_TOKENS:,}, "
                "because the time of every token is kept",
                advice="Send fewer requests, and repeat the run.",
            )
        for name, bound in self.goodput.items():
            if name not in _BOUNDS.values() or not is_number(bound, 0):
                raise ConfigError(f"goodput cannot bound {name!r} by {bound!r}", advice=_GOODPUT_ADVICE)

    @property
    def level_from(self) -> int:
        """Return how many requests are under way in the first run."""
        return self.concurrency if isinstance(self.concurrency, int) else 1

    @property
    def is_sweep(self) -> bool:
        """Return whether the number of requests at a time is found out."""
        return self.concurrency == SWEEP

    def requests_at(self, level: int) -> int:
        """Return the requests of a run with so many at a time."""
        return max(self.requests, _FOR_EACH * level) if self.is_sweep else self.requests


#: Numbers of the settings, and between which bounds they are.
_NUMBERS = (
    ("requests", 1, 10_000),
    ("repeat", 1, 100),
    ("warmup", 0, 1000),
    ("seed", 0, None),
    ("prompt_tokens", 1, 100_000),
    ("max_tokens", 1, 100_000),
)
#: Requests for each that is under way in a sweep, so that the last ones, which run alone, weigh little.
_FOR_EACH = 4
_GOODPUT_ADVICE = "Give bounds in milliseconds: ttft:500,tpot:50,e2e:5000."


def parse_goodput(text: str) -> dict[str, float]:
    """Return the bounds of ``ttft:500,e2e:5000``, which are in milliseconds, in seconds.

    Raises:
        ConfigError: It is no such text.
    """
    bounds = {}
    for part in text.split(","):
        name, _, value = part.strip().partition(":")
        try:
            bounds[_BOUNDS[name]] = float(value) / 1000
        except (KeyError, ValueError):
            raise ConfigError(f"goodput cannot be {part!r}", advice=_GOODPUT_ADVICE) from None
    return bounds

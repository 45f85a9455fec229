"""What a bench found out."""

from __future__ import annotations

import msgspec

from foundry_rest.ops.bench.advice import Advice, advice_on, best_of
from foundry_rest.ops.bench.figures import BenchLevel
from foundry_rest.ops.bench.measuring import Measurement
from foundry_rest.ops.bench.settings import BenchSettings
from foundry_rest.values import Value


class Warmup(Value, msgspec.Struct, frozen=True, kw_only=True):
    """The requests before the first run, which are in no other figure.

    Attributes:
        requests: How many there were.
        seconds: How long they took.
        first_ttft: Seconds to the first token of the first; ``None`` if it had none.
    """

    requests: int = 0
    seconds: float = 0.0
    first_ttft: float | None = None

    @classmethod
    def of(cls, measurements: list[Measurement]) -> Warmup:
        """Return the figures of measurements that were made one after the other."""
        if not measurements:
            return cls()
        seconds = measurements[-1].ended - measurements[0].began
        return cls(requests=len(measurements), seconds=seconds, first_ttft=measurements[0].ttft)


class BenchReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a bench found out, or has found out so far.

    Attributes:
        url: Address of the service.
        generation: Its generation, such as ``"2.x"``.
        model: Id of the model.
        settings: What was sent, and how.
        load: Seconds that the model took to load; ``None`` if it was in memory, or nothing can load it.
        warmup: The requests before the first run.
        levels: The figures for each number of requests at a time.
        interrupted: Whether it was ended early: the last run lacks the requests that were under way.
    """

    url: str
    generation: str | None
    model: str
    settings: BenchSettings
    load: float | None = None
    warmup: Warmup = Warmup()
    levels: tuple[BenchLevel, ...] = ()
    interrupted: bool = False

    def __repr__(self) -> str:
        levels = [level.concurrency for level in self.levels]
        return f"BenchReport(url={self.url!r}, model={self.model!r}, levels={levels})"

    @property
    def best(self) -> BenchLevel | None:
        """Return the level that is worth its number of requests at a time; ``None`` without an answer."""
        return best_of(self.levels)

    @property
    def advice(self) -> Advice | None:
        """Return what a client is to be set to; ``None`` without an answer."""
        return None if (best := self.best) is None else advice_on(best, self.load)

    def summary(self) -> dict[str, object]:
        """Return all of it for JSON: the best level's figures by vLLM's names, then each level's."""
        best, advice = self.best, self.advice
        return {
            "model_id": self.model,
            "url": self.url,
            "generation": self.generation,
            "interrupted": self.interrupted,
            **(_facts(best) if best is not None else {}),
            "load_seconds": self.load,
            "warmup": self.warmup.to_dict(),
            "advice": None if advice is None else advice.to_dict(),
            # What was asked may be private; how many prompts there were is not.
            "settings": {**msgspec.to_builtins(self.settings), "prompts": len(self.settings.prompts)},
            "levels": [_facts(level) for level in self.levels],
        }


def _facts(level: BenchLevel) -> dict[str, object]:
    return {
        "max_concurrency": level.concurrency,
        **level.figures,
        "errors_by_class": level.errors,
        "errors": list(level.reasons.values()),
        "counts_tokens": all(run.counts_tokens for run in level.runs),
        "repeats": len(level.runs),
        "spread": level.spread,
    }

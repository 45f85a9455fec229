"""One request, measured in the thread that reads it."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from itertools import pairwise

import msgspec

from foundry_rest import clock
from foundry_rest.errors import ConfigError, FoundryError
from foundry_rest.stream import ChatStream


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """When the parts of one answer came; instants are in seconds of ``clock.monotonic``.

    Attributes:
        began: When the request was sent.
        ended: When the last event came, or the error.
        outputs: When each event with text came, whether a thought or content.
        first_content: When the first came that had content; ``None`` without any.
        first_thought: When the first came that had a thought; ``None`` without any.
        prompt_tokens: The count that the service reported; 0 where it reports none.
        completion_tokens: The same of the answer, thoughts included.
        error: Class of the error that ended it; ``""`` for a whole answer.
        reason: What the error says.
    """

    began: float
    ended: float
    outputs: array[float] = msgspec.field(default_factory=lambda: array("d"))
    first_content: float | None = None
    first_thought: float | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    error: str = ""
    reason: str = ""

    @property
    def ttft(self) -> float | None:
        """Return the seconds to the first content; ``None`` for an answer without any."""
        return None if self.first_content is None else self.first_content - self.began

    @property
    def first_thought_after(self) -> float | None:
        """Return the seconds to the first thought; ``None`` for an answer without any."""
        return None if self.first_thought is None else self.first_thought - self.began

    @property
    def e2e(self) -> float:
        """Return the seconds from the request to the last event."""
        return self.ended - self.began

    @property
    def output_tokens(self) -> int:
        """Return the tokens of the answer; where the service counts none, the events with text."""
        return self.completion_tokens or len(self.outputs)

    @property
    def tpot(self) -> float | None:
        """Return the seconds for each token after the first; ``None`` for fewer than two."""
        if self.output_tokens < 2 or not self.outputs:
            return None
        return (self.ended - self.outputs[0]) / (self.output_tokens - 1)

    @property
    def gaps(self) -> list[float]:
        """Return the seconds between each two outputs."""
        return [later - earlier for earlier, later in pairwise(self.outputs)]


def measure(open_stream: Callable[[], ChatStream]) -> Measurement:
    """Open a stream, read it, and return when its parts came; an error of the service is part of it.

    Raises:
        ConfigError: The request cannot be sent.
    """
    began = moment = clock.monotonic()
    outputs = array("d")
    first_content = first_thought = None
    try:
        with open_stream() as stream:
            for chunk in stream:
                # Before anything is looked at: the time is that at which the event was there.
                moment = clock.monotonic()
                if chunk.content:
                    first_content = moment if first_content is None else first_content
                elif chunk.reasoning:
                    first_thought = moment if first_thought is None else first_thought
                else:
                    continue
                outputs.append(moment)
    except ConfigError:
        raise
    except FoundryError as error:
        ended, name = clock.monotonic(), type(error).__name__
        return Measurement(began=began, ended=ended, error=name, reason=error.message)
    return Measurement(
        began=began,
        ended=moment,
        outputs=outputs,
        first_content=first_content,
        first_thought=first_thought,
        prompt_tokens=stream.usage.prompt_tokens,
        completion_tokens=stream.usage.completion_tokens,
    )

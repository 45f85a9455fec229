"""How the stub answers, told by the path that is asked; light, for every subject imports it."""

from __future__ import annotations

from dataclasses import astuple, dataclass

#: The model of every request; the real runtime's name of the demo model.
MODEL = "demo-chat-generic-cpu:1"


@dataclass(frozen=True)
class Behaviour:
    """Say how the stub answers.

    Attributes:
        events: Tokens of a streamed answer.
        framing: ``"events"`` for one HTTP chunk each, ``"tiny"`` for pieces of 16 bytes, ``"coalesced"``
            for 16 events together, ``"close"`` for a body that the end of the connection ends.
        wait_ms: Before the answer.
        gap_ms: Between two events, which then hold the instant at which they were sent; 0 for all at once.
        size: Bytes of a plain answer's text.
    """

    events: int = 8
    framing: str = "events"
    wait_ms: int = 0
    gap_ms: int = 0
    size: int = 32

    @property
    def path(self) -> str:
        """Return the path under which the stub behaves so."""
        return "/" + ",".join(str(value) for value in astuple(self))

    @classmethod
    def at(cls, segment: str) -> Behaviour:
        """Return what a path's first segment says."""
        events, framing, *rest = segment.split(",")
        return cls(int(events), framing, *map(int, rest))

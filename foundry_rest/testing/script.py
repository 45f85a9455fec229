"""Scripts: what a server does with one request, as a sequence of frozen steps.

Every function here returns a ``Script``; scripts are joined by ``+`` and cut by slices, and in all ready
answers step 0 is the head, so that ``answer(200, b"{}")[:1] + stall()`` sends the headers and goes silent.
Nothing here touches a socket: the steps act on a ``Wire``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias


class Wire(Protocol):
    """One connection, as the steps see it."""

    def send(self, data: bytes) -> None:
        """Send bytes at once, as a packet of their own."""

    def wait(self, seconds: float | None, gate: threading.Event | None = None) -> None:
        """Send nothing for so many seconds (``None``: for ever) or until the gate opens."""

    def cut(self) -> None:
        """Close the connection in the ordinary way (FIN)."""

    def reset(self) -> None:
        """Close the connection with a reset (RST)."""

    def die(self) -> None:
        """End the whole server."""


class Step(Protocol):
    """One action of a server."""

    def play(self, wire: Wire) -> None:
        """Perform the action."""


@dataclass(frozen=True, slots=True)
class Send:
    """Bytes to send."""

    data: bytes

    def play(self, wire: Wire) -> None:
        """Send the bytes."""
        wire.send(self.data)


@dataclass(frozen=True, slots=True)
class Silence:
    """Silence for ``seconds`` (``None``: for ever) or until ``gate`` is set, whichever comes first."""

    seconds: float | None = None
    gate: threading.Event | None = None

    def play(self, wire: Wire) -> None:
        """Wait; a client that disconnects and the server's end interrupt it."""
        wire.wait(self.seconds, self.gate)


@dataclass(frozen=True, slots=True)
class End:
    """The end of the connection (``"cut"`` or ``"reset"``), or of the whole server (``"die"``)."""

    how: str

    def play(self, wire: Wire) -> None:
        """End the connection or the server."""
        {"cut": wire.cut, "reset": wire.reset, "die": wire.die}[self.how]()


@dataclass(frozen=True, slots=True)
class Script:
    """The steps that answer one request.

    ``+`` joins scripts (and tuples of them), a slice takes some of the steps. After the last step
    the connection stays open for the next request, unless a step ended it or the client asked to close.
    """

    steps: tuple[Step, ...] = ()

    def __add__(self, other: Scripted) -> Script:
        return Script(self.steps + as_script(other).steps)

    def __radd__(self, other: Scripted) -> Script:
        return as_script(other) + self

    def __getitem__(self, part: slice) -> Script:
        return Script(self.steps[part])

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def data(self) -> bytes:
        """Return all bytes that the script sends, one after the other."""
        return b"".join(step.data for step in self.steps if isinstance(step, Send))


#: What is accepted wherever a script is.
Scripted: TypeAlias = Script | tuple[Script, ...]


def as_script(script: Scripted) -> Script:
    """Return a script, or a tuple of scripts, as one script.

    Raises:
        TypeError: The argument is neither.
    """
    if isinstance(script, Script):
        return script
    if not isinstance(script, tuple):
        raise TypeError(f"a script is a Script or a tuple of them, not {type(script).__name__}")
    return Script(tuple(step for part in script for step in as_script(part).steps))


def send(data: bytes) -> Script:
    """Send these bytes, as a packet of their own (TCP_NODELAY)."""
    return Script((Send(data),))


def pause(seconds: float) -> Script:
    """Send nothing for so many seconds; ends at once when the client disconnects or the server stops."""
    return Script((Silence(seconds),))


def stall() -> Script:
    """Send nothing more until the client disconnects or the server stops."""
    return Script((Silence(),))


def hold(gate: threading.Event, at_most: float | None = None) -> Script:
    """Send nothing until the test sets ``gate``, or for ``at_most`` seconds; default: no limit."""
    return Script((Silence(at_most, gate),))


def cut() -> Script:
    """Close the connection here, though the answer is not complete (FIN, as a killed process does)."""
    return Script((End("cut"),))


def reset() -> Script:
    """Reset the connection here (RST); the client may lose bytes that it has not read yet."""
    return Script((End("reset"),))


def die() -> Script:
    """End the whole server here: the port refuses connections from now on, every open one is cut.

    Simulates ``POST /shutdown`` and a request that kills the service; ``server.start()`` restarts it.
    """
    return Script((End("die"),))


def dribble(data: bytes | Scripted, every: float = 0.05) -> Script:
    """Send bytes one at a time, ``every`` seconds apart; a script's sending steps likewise."""
    steps: list[Step] = []
    for step in _script_of(data):
        if isinstance(step, Send):
            steps += (piece for byte in step.data for piece in (Send(bytes((byte,))), Silence(every)))
        else:
            steps.append(step)
    return Script(tuple(steps))


def split(data: bytes | Scripted, at: int, gap: float = 0.005) -> Script:
    """Send all bytes in exactly two packets, cut before byte ``at`` (negative: from the end).

    ``gap`` seconds pass between the two, so that the client's first read gets the first one alone. Other
    steps of a script (a cut, a stall) follow the bytes.
    """
    script = _script_of(data)
    rest = Script(tuple(step for step in script if not isinstance(step, Send)))
    return send(script.data[:at]) + pause(gap) + send(script.data[at:]) + rest


def paced(script: Scripted, every: float = 0.05) -> Script:
    """Pause ``every`` seconds after each sending step; in a stream that is after each event."""
    steps: list[Step] = []
    for step in as_script(script):
        steps += (step, Silence(every)) if isinstance(step, Send) else (step,)
    return Script(tuple(steps))


def _script_of(data: bytes | Scripted) -> Script:
    return send(data) if isinstance(data, bytes) else as_script(data)

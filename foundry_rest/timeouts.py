"""Timeouts: the longest silence that one attempt accepts, in each of its phases."""

from __future__ import annotations

import msgspec

from foundry_rest.checks import positive_seconds
from foundry_rest.errors import ConfigError

#: Loopback connects in microseconds, the local network in milliseconds; 3 s survives one lost SYN.
CONNECT_TIMEOUT = 3.0
#: 2.2 sends a keep-alive comment every 0.25 s, but older services are silent while they read the prompt.
SILENCE_TIMEOUT = 30.0
#: Large models take minutes to load from a cold disk.
LOAD_TIMEOUT = 600.0
#: Sockets accept at most some billion seconds; nobody needs to wait 11.5 days for a silent service.
LONGEST_TIMEOUT = 1_000_000.0


class Timeouts(msgspec.Struct, frozen=True):
    """The longest silence that one attempt accepts in each phase, in seconds.

    Attributes:
        connect: Longest time to connect.
        first_token: Longest silence before the first event or the whole plain response.
        idle: Longest silence between two events.
        load: Longest silence while a model is loaded or unloaded.

    Raises:
        ConfigError: A value is not a number of seconds above 0 and up to 1,000,000.
    """

    connect: float = CONNECT_TIMEOUT
    first_token: float = SILENCE_TIMEOUT
    idle: float = SILENCE_TIMEOUT
    load: float = LOAD_TIMEOUT

    def __post_init__(self) -> None:
        for name in ("connect", "first_token", "idle", "load"):
            if positive_seconds(f"Timeouts.{name}", getattr(self, name)) > LONGEST_TIMEOUT:
                raise ConfigError(f"Timeouts.{name} must be at most {LONGEST_TIMEOUT:,.0f} seconds")

    @classmethod
    def of(cls, value: float | Timeouts | None) -> Timeouts:
        """Return the timeouts for seconds of silence, for a whole set, or for ``None`` (the defaults)."""
        return cls().with_silence(value)

    def with_silence(self, value: float | Timeouts | None) -> Timeouts:
        """Return the timeouts that ``timeout=`` means: a number replaces the silence, a set all of them."""
        if value is None:
            return self
        if isinstance(value, Timeouts):
            return value
        silence = positive_seconds("timeout", value)
        return msgspec.structs.replace(self, first_token=silence, idle=silence)

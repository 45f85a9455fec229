"""Timeouts: the longest silence that one attempt accepts, in each of its phases."""

from __future__ import annotations

import msgspec

from foundry_rest.checks import positive_seconds
from foundry_rest.errors import ConfigError
from foundry_rest.errors.advice import Advice

#: Loopback connects in microseconds, the local network in milliseconds; 3 s survives one lost SYN.
CONNECT_TIMEOUT = 3.0
#: 2.2 sends a keep-alive comment every 0.25 s, but older services are silent while they read the prompt.
SILENCE_TIMEOUT = 30.0
#: Large models take minutes to load from a cold disk.
LOAD_TIMEOUT = 600.0
#: Sockets accept at most some billion seconds; nobody needs to wait 11.5 days for a silent service.
LONGEST_TIMEOUT = 1_000_000.0
#: A busy program, or a machine that swaps, may stand still for a second or two; this is twice as long.
ADAPTIVE_FLOOR = 5.0
#: What holds while nothing is known, and where nothing can be predicted. It may be long, because a service
#: that is found to be quick gets far less: a slow processor reads 4,096 tokens at 40 tokens/s in 102 s.
ADAPTIVE_CEILING = 120.0
_FOR_A_CLIENT: str = Advice(
    "Give it to the client, FoundryAPIClient(timeout=), or to client.with_options(timeout=)."
)


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

    @classmethod
    def adaptive(
        cls,
        *,
        floor: float = ADAPTIVE_FLOOR,
        ceiling: float = ADAPTIVE_CEILING,
        connect: float = CONNECT_TIMEOUT,
        load: float = LOAD_TIMEOUT,
    ) -> AdaptiveTimeouts:
        """Return timeouts whose ``first_token`` and ``idle`` follow what the service is observed to take.

        They are for a client, or for a view of ``with_options``. Chat streams follow, and on 2.x whole
        answers of a chat, too; all else has the ceiling. Each change is an event, ``TimeoutChanged``.

        Args:
            floor: Seconds that both have at least; default 5.
            ceiling: Seconds that both have at most, and while little is known; default 120.
            connect: Longest time to connect, in seconds; default 3.
            load: Longest silence while a model is loaded or unloaded, in seconds; default 600.

        Raises:
            ConfigError: A value is not a number of seconds above 0 and up to 1,000,000, or the floor is above
                the ceiling.
        """
        return AdaptiveTimeouts(connect, ceiling, ceiling, load, floor)

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
        return Timeouts(self.connect, silence, silence, self.load)

    def for_call(self, value: float | Timeouts) -> Timeouts:
        """Return the timeouts of one call; a client without adaptive ones has nothing that they could follow.

        Raises:
            ConfigError: ``value`` is adaptive, and these are not, or it cannot be used.
        """
        if isinstance(value, AdaptiveTimeouts) and not isinstance(self, AdaptiveTimeouts):
            raise ConfigError(
                "timeout=Timeouts.adaptive() follows many calls, and this client's time-outs are fixed",
                advice=_FOR_A_CLIENT,
            )
        return self.with_silence(value)


class AdaptiveTimeouts(Timeouts, frozen=True):
    """Timeouts that follow the service; made by ``Timeouts.adaptive``.

    What knows nothing of this uses ``first_token`` and ``idle``, which are the ceilings.

    Attributes:
        floor: Seconds that ``first_token`` and ``idle`` have at least.
    """

    floor: float = ADAPTIVE_FLOOR

    def __post_init__(self) -> None:
        ceiling = min(positive_seconds("ceiling", each) for each in (self.first_token, self.idle))
        if positive_seconds("floor", self.floor) > ceiling:
            raise ConfigError(f"floor must be at most the ceiling of {ceiling:g} seconds, not {self.floor!r}")
        super().__post_init__()

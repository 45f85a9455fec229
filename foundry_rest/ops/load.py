"""What a service has to do: the processor time of its process, and the tokens that it gives."""

from __future__ import annotations

from foundry_rest import clock
from foundry_rest.client import FoundryAPIClient


class ProcessorTime:
    """The share of one core that a process uses, from one look to the next."""

    def __init__(self) -> None:
        self._last: tuple[int, float, float] | None = None

    def since_last(self, pid: int | None) -> float | None:
        """Return the share since the last look at a process; ``None`` at the first, or if it is unknown."""
        before, self._last = self._last, None
        if pid is None:
            return None
        import psutil

        try:
            times = psutil.Process(pid).cpu_times()
        except (psutil.Error, OSError, ValueError):
            return None
        used, now = times.user + times.system, clock.monotonic()
        self._last = pid, used, now
        if before is None or before[0] != pid or now <= before[2]:
            return None
        return max(0.0, (used - before[1]) / (now - before[2]))


class TokenRate:
    """The tokens per second of a client's calls, from one look to the next.

    Args:
        client: Whose calls are looked at.
    """

    def __init__(self, client: FoundryAPIClient) -> None:
        self._client = client
        self._tokens, self._seconds = 0, 0.0

    def since_last(self) -> float | None:
        """Return the rate of the calls that ended since the last look; ``None`` without any."""
        total = self._client.stats().total
        tokens, seconds = total.completion_tokens - self._tokens, total.token_seconds - self._seconds
        self._tokens, self._seconds = total.completion_tokens, total.token_seconds
        return tokens / seconds if seconds > 0 else None

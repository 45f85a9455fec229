"""Figures of a client since it was made."""

from __future__ import annotations

import msgspec


class CallStats(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one operation.

    Attributes:
        calls: Calls that ended.
        errors: Of these, the ones that ended in an error.
        abandoned: Of these, the streams that their reader left; neither good calls nor errors.
        failed_attempts: Tries that failed, cured and repeated ones included.
        seconds: Sum of the calls' durations.
        p50: Median duration in seconds of the latest 1,024 calls that ended well.
        p95: 95th percentile of the same.
        first_token_p50: Median seconds to the first event, or ``None`` without streams.
        prompt_tokens: Sum, as the service counted.
        completion_tokens: Sum, as the service counted.
        tokens_per_second: Completion tokens by the seconds of the calls that reported them.
    """

    calls: int = 0
    errors: int = 0
    abandoned: int = 0
    failed_attempts: int = 0
    seconds: float = 0.0
    p50: float = 0.0
    p95: float = 0.0
    first_token_p50: float | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    tokens_per_second: float = 0.0


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of a client.

    Attributes:
        total: The sum of all operations.
        by_call: Each operation by its label, such as ``"chat.complete"``.
        circuits: State of the circuit of each address used: ``"closed"``, ``"open"`` or ``"half-open"``.
    """

    total: CallStats = CallStats()
    by_call: dict[str, CallStats] = {}
    circuits: dict[str, str] = {}

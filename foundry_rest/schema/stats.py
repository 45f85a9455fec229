"""Statistics of a client since it was created."""

from __future__ import annotations

import msgspec

from foundry_rest.values import Value


class CallStats(Value, msgspec.Struct, frozen=True, kw_only=True):
    """The statistics of one operation.

    Attributes:
        calls: Number of calls that ended, without those that a cache answered.
        errors: Number of these that ended with an error.
        abandoned: Number of these that were streams closed early; they count neither as ok nor as errors.
        cached: Number of calls that a cache answered; they are in none of the other figures.
        failed_attempts: Number of attempts that failed, including those followed by a recovery or a retry.
        seconds: Sum of the calls' durations.
        p50: Median duration in seconds of the latest 1,024 successful calls.
        p95: 95th percentile of the same.
        first_token_p50: Median seconds to the first event, or ``None`` without streams.
        prompt_tokens: Sum of the counts that the service reported.
        completion_tokens: Sum of the counts that the service reported.
        tokens_per_second: Completion tokens divided by the seconds of the calls that reported them.
    """

    calls: int = 0
    errors: int = 0
    abandoned: int = 0
    cached: int = 0
    failed_attempts: int = 0
    seconds: float = 0.0
    p50: float = 0.0
    p95: float = 0.0
    first_token_p50: float | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    tokens_per_second: float = 0.0

    def row(self, label: str) -> tuple[str, ...]:
        """Return the row of the operation ``label`` in the table of all."""
        from foundry_rest.schema.tables import milliseconds

        return (
            label,
            str(self.calls),
            str(self.errors),
            milliseconds(self.p50),
            milliseconds(self.first_token_p50),
            str(self.completion_tokens),
            f"{self.tokens_per_second:.0f}",
        )


class Stats(Value, msgspec.Struct, frozen=True, kw_only=True):
    """The statistics of a client.

    Attributes:
        total: The sum of all operations.
        by_call: Operations by label, such as ``"chat.complete"``.
        circuits: State of each used address's circuit: ``"closed"``, ``"open"`` or ``"half-open"``.
    """

    total: CallStats = CallStats()
    by_call: dict[str, CallStats] = {}
    circuits: dict[str, str] = {}

    def __str__(self) -> str:
        """Return a table with a row for each operation, as the command prints it."""
        from foundry_rest.schema.tables import table

        rows = (figures.row(label) for label, figures in self.by_call.items())
        return table([_HEADING, *rows])


_HEADING = ("CALL", "CALLS", "ERRORS", "MEDIAN MS", "FIRST TOKEN MS", "TOKENS", "TOKENS/S")

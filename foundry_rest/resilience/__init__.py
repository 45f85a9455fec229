"""Retries, circuit breaker, concurrency and locks: what happens around the attempts of a call."""

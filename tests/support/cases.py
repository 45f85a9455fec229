"""Many cases in one test, for variants that share a server: a test for each would cost more than the case."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable


def each_case(names: str, cases: Iterable[object]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test once with each case; its failure names the case.

    Args:
        names: The test's arguments that a case gives, divided by commas.
        cases: The values, a tuple for several names.
    """
    keys = [name.strip() for name in names.split(",")]
    rows = [dict(zip(keys, case if len(keys) > 1 else (case,), strict=True)) for case in cases]  # type: ignore[call-overload]
    assert rows

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def run(**fixtures: object) -> None:
            for row in rows:
                try:
                    test(**fixtures, **row)
                except Exception as error:
                    raise AssertionError(f"the case {row!r:.300} failed: {error}") from error

        given = inspect.signature(test)
        rest = [each for name, each in given.parameters.items() if name not in keys]
        run.__signature__ = given.replace(parameters=rest)  # type: ignore[attr-defined]
        return run

    return decorate

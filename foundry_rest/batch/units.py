"""Numbers with their units, as people read them."""

from __future__ import annotations

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
#: Below how many seconds a unit is used -> what a second is in it, and its name.
_SMALL = ((0.001, 1e6, "us"), (1.0, 1e3, "ms"), (float(_MINUTE), 1.0, "s"))
#: Below how many seconds two units are used -> the seconds of each, and their names.
_LARGE = (
    (_HOUR, (_MINUTE, "min"), (1, "s")),
    (_DAY, (_HOUR, "h"), (_MINUTE, "min")),
    (float("inf"), (_DAY, "d"), (_HOUR, "h")),
)


def duration(seconds: float) -> str:
    """Return a duration with at most three digits in one unit, or in two: ``1.25 s``, ``2 min 5 s``."""
    if not seconds:
        return "0 s"
    for limit, factor, name in _SMALL:
        # A value that would be rounded up to the limit is shown in the next unit.
        if float(f"{seconds:.3g}") < limit:
            return f"{seconds * factor:.3g} {name}"
    return _in_two_units(round(seconds))


def _in_two_units(seconds: int) -> str:
    (_, (large, name), (small, small_name)) = next(row for row in _LARGE if seconds < row[0])
    count, rest = divmod(round(seconds / small) * small, large)
    return f"{count:,} {name} {rest // small} {small_name}" if rest else f"{count:,} {name}"


def estimate(seconds: float) -> str:
    """Return an estimated duration without digits that nobody can know: ``20 s``, ``3 min``."""
    if seconds < 2 * _MINUTE:
        return f"{max(1, round(seconds))} s"
    return _in_two_units(round(seconds / _MINUTE) * _MINUTE)


def rate(value: float) -> str:
    """Return a rate with two digits or more: ``0.025``, ``4.1``, ``1,234``."""
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.2g}"


def share(part: int, whole: int) -> str:
    """Return a share in per cent; only none is 0 %, and only all is 100 %."""
    percent = 100 * part / whole if whole else 0.0
    if 0 < percent < 0.1:
        return "<0.1 %"
    if 99.9 < percent < 100:
        return ">99.9 %"
    return f"{percent:.3g} %"

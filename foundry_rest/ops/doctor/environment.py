"""Checks of the variables ``FOUNDRY_*``: what is set, what cannot be used, what was probably misspelt."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

from foundry_rest.config import VARIABLES
from foundry_rest.ops.doctor.evidence import Evidence, problem_of
from foundry_rest.ops.doctor.findings import Finding, error, note, ok, warning
from foundry_rest.ops.doctor.redaction import MASK

PREFIX = "FOUNDRY_"
_KEY = "FOUNDRY_API_KEY"
#: How alike two names are, from 0 to 1, when one is taken for the other misspelt.
_ALIKE = 0.75
#: What people call a variable that has another name here.
_OTHER_NAMES = {
    **dict.fromkeys(("URL", "BASE_URL", "HOST", "ADDRESS", "SERVICE_URL"), "ENDPOINT"),
    **dict.fromkeys(("KEY", "TOKEN"), "API_KEY"),
}


def variables(evidence: Evidence) -> Iterator[Finding]:
    """Tell which of our variables are set, and whether their values can be used."""
    given = {name: value for name, value in evidence.environ.items() if name in VARIABLES}
    if not given:
        yield ok("no FOUNDRY_ variable of foundry_rest is set: the defaults hold")
    for name in given:
        yield valued(name, evidence.environ)


def unknown(evidence: Evidence) -> Iterator[Finding]:
    """Tell which variables look like ours, and are not read."""
    for name in evidence.environ:
        if name.upper().startswith(PREFIX) and name not in VARIABLES:
            yield unread(name)


def valued(name: str, environ: Mapping[str, str]) -> Finding:
    """Return whether the value of one of our variables can be used."""
    value = environ[name].strip()
    if not value:
        return note(f"{name} is set, but empty, which counts as not set")
    problem = problem_of(name, environ)
    if problem is not None:
        return error(problem.message, f"Set {name} to such a value, or not at all.")
    return ok(f"{name}={MASK if name == _KEY else value}")


def unread(name: str) -> Finding:
    """Return what a variable may be that is not read; its value, which may be a key, is not told."""
    near = meant_by(name)
    if near is None:
        return note(f"{name} is not read by foundry_rest")
    return warning(f"{name} is not read by foundry_rest", f"If {near} is meant, set that.")


def meant_by(name: str) -> str | None:
    """Return the variable of ours that a name may mean; ``None`` for none.

    >>> meant_by("FOUNDRY_ENPOINT"), meant_by("FOUNDRY_URL"), meant_by("FOUNDRY_PROFILE")
    ('FOUNDRY_ENDPOINT', 'FOUNDRY_ENDPOINT', None)
    """
    ours = [each.removeprefix(PREFIX) for each in VARIABLES]
    given = name.upper().removeprefix(PREFIX)
    near = [*difflib.get_close_matches(given, ours, n=1, cutoff=_ALIKE), _OTHER_NAMES.get(given)]
    return next((f"{PREFIX}{each}" for each in near if each), None)

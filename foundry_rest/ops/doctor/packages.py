"""Checks of the libraries: what this package needs, against what is installed."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import zip_longest
from typing import NamedTuple

from foundry_rest.ops.doctor.evidence import Evidence
from foundry_rest.ops.doctor.findings import Finding, error, note, ok, warning

PACKAGE = "foundry_rest"
#: Extras for work on this package itself.
_FOR_DEVELOPERS = ("test", "test-engines", "bench", "dev", "docs")
#: The parts of a requirement in our metadata, such as ``redis<6,>=5; extra == "redis"``.
_NAME = re.compile(r"[\w.-]+")
_BOUND = re.compile(r"(>=|<)\s*(\d+(?:\.\d+)*)")
_EXTRA = re.compile(r"extra\s*==\s*[\"']([\w.-]+)[\"']")


class Requirement(NamedTuple):
    """One library that this package uses.

    Attributes:
        name: Its name.
        bounds: Bounds of its version, such as ``(">=", "2.33")``.
        extra: The extra that brings it; ``""`` for what is always needed.
    """

    name: str
    bounds: tuple[tuple[str, str], ...] = ()
    extra: str = ""

    @property
    def range(self) -> str:
        """Return the bounds as one text."""
        return ",".join(f"{sign}{version}" for sign, version in self.bounds)

    def allows(self, version: str) -> bool:
        """Return whether a version is in the bounds; what follows its release number does not count."""
        return all((_order(version, bound) >= 0) is (sign == ">=") for sign, bound in self.bounds)


def required(_: Evidence) -> Iterator[Finding]:
    """Tell whether all that is needed is installed, and new enough."""
    return needed([each for each in requirements() if not each.extra], installed_version)


def optional(_: Evidence) -> Iterator[Finding]:
    """Tell which extras are installed, and whether they are new enough."""
    return wanted([each for each in requirements() if each.extra], installed_version)


def requirements() -> list[Requirement]:
    """Return what the installed metadata of this package ask for, without what developers need.

    Raises:
        PackageNotFoundError: It is not installed.
    """
    parsed = map(parse, importlib.metadata.requires(PACKAGE) or ())
    return [each for each in parsed if each.extra not in _FOR_DEVELOPERS]


def parse(text: str) -> Requirement:
    """Return a requirement of our own metadata.

    >>> parse('redis>=5; extra == "redis"')
    Requirement(name='redis', bounds=(('>=', '5'),), extra='redis')
    """
    needs, _, condition = text.partition(";")
    name, extra = _NAME.match(needs), _EXTRA.search(condition)
    return Requirement(name[0] if name else text, tuple(_BOUND.findall(needs)), extra[1] if extra else "")


def own_version() -> str:
    """Return the version of this package; ``"unknown"`` where it is not installed."""
    return installed_version(PACKAGE) or "unknown"


def installed_version(name: str) -> str | None:
    """Return the version of a library that is installed; ``None`` if it is not."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def needed(asked: Iterable[Requirement], version_of: Callable[[str], str | None]) -> Iterator[Finding]:
    """Yield what is missing or too old of what is needed."""
    good = []
    for each in asked:
        version, advice = version_of(each.name), f"pip install '{each.name}{each.range}'"
        if version is None:
            yield error(f"{each.name} is not installed", advice)
        elif not each.allows(version):
            yield error(f"{each.name} {version} is not {each.range}", advice)
        else:
            good.append(f"{each.name} {version}")
    if good:
        yield ok(", ".join(good))


def wanted(asked: Iterable[Requirement], version_of: Callable[[str], str | None]) -> Iterator[Finding]:
    """Yield which optional libraries are there, too old, or not there."""
    good, missing = [], []
    for each in asked:
        version = version_of(each.name)
        if version is None:
            missing.append(f"{each.name} ({each.extra})")
        elif not each.allows(version):
            what = f"{each.name} {version} is not {each.range}, which the extra {each.extra} needs"
            yield warning(what, f"pip install 'foundry_rest[{each.extra}]'")
        else:
            good.append(f"{each.name} {version}")
    if good:
        yield ok(f"optional: {', '.join(good)}")
    if missing:
        yield note(f"not installed, and needed for their extra alone: {', '.join(missing)}")


def _order(one: str, other: str) -> int:
    """Return -1, 0 or 1 for a release that is older, the same or newer."""
    left, right = _release(one), _release(other)
    pairs = zip_longest(left, right, fillvalue=0)
    return next(((a > b) - (a < b) for a, b in pairs if a != b), 0)


def _release(version: str) -> list[int]:
    found = re.match(r"\d+(?:\.\d+)*", version)
    return [int(part) for part in found[0].split(".")] if found else []

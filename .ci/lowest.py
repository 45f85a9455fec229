"""Print the lowest versions that setup.cfg allows, one `name==version` a line, for pip.

    python .ci/lowest.py [EXTRA...]

Those of the required packages, and of the extras named.
"""

from __future__ import annotations

import configparser
import re
import sys
from pathlib import Path

SETUP = Path(__file__).parents[1] / "setup.cfg"
BOUND = re.compile(r"(?P<name>[\w.-]+).*>=\s*(?P<floor>[\w.]+)")


def pin(requirement: str) -> str:
    """Return the pin on a requirement's lower bound, for the same Pythons; ValueError without a bound."""
    bounds, semicolon, pythons = requirement.partition(";")
    match = BOUND.match(bounds)
    if match is None:
        raise ValueError(f"setup.cfg gives no lower bound (>=): {requirement}")
    return "{name}=={floor}".format_map(match.groupdict()) + semicolon + pythons


def pins(setup: str, *extras: str) -> list[str]:
    """Return the pins of the required packages and of the extras, given setup.cfg's text."""
    parser = configparser.ConfigParser()
    parser.read_string(setup)
    lists = [parser["options"]["install_requires"]]
    lists += [parser["options.extras_require"][extra] for extra in extras]
    return [pin(line) for text in lists for line in text.split("\n") if line.strip()]


if __name__ == "__main__":
    print(*pins(SETUP.read_text(encoding="utf-8"), *sys.argv[1:]), sep="\n")

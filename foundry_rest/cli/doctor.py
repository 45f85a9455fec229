"""The command ``doctor``: the report of all checks, for people, for an issue, or as JSON."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from argparse import Namespace
from collections.abc import Iterator, Mapping
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from foundry_rest.cli.client import headers_of
from foundry_rest.cli.output import print_json
from foundry_rest.config import base_urls
from foundry_rest.errors import ConfigError
from foundry_rest.ops.doctor import Diagnosis, DoctorSettings, Finding, diagnose
from foundry_rest.ops.doctor.findings import ERROR, NOTE, OK, SEVERITIES, WARNING

#: Columns of the report: what an issue's text shows without a bar.
WIDTH = 100
_INDENT = 11
_NARROWEST = 40
_COLOURS = {OK: "32", NOTE: "36", WARNING: "33", ERROR: "31;1"}


class Page(NamedTuple):
    """How the report is drawn.

    Attributes:
        width: Columns.
        is_coloured: Whether severities have colours.
    """

    width: int = WIDTH
    is_coloured: bool = False

    def severity(self, severity: str) -> str:
        """Return a severity in its column."""
        word = f"{severity:<9}"
        return f"\x1b[{_COLOURS[severity]}m{word}\x1b[0m" if self.is_coloured else word

    def lines(self, finding: Finding) -> Iterator[str]:
        """Yield the lines of one finding."""
        text, *more = self._wrapped(finding.text, "")
        yield f"  {self.severity(finding.severity)}{text}"
        advice = self._wrapped(finding.advice, "-> ") if finding.advice else []
        yield from (f"{'':{_INDENT}}{line}" for line in (*more, *advice))

    def _wrapped(self, text: str, mark: str) -> list[str]:
        room = max(self.width, _NARROWEST) - _INDENT
        wrapped = textwrap.wrap(
            text, room, initial_indent=mark, subsequent_indent=" " * len(mark), break_on_hyphens=False
        )
        return wrapped or [mark]


def doctor(arguments: Namespace) -> int:
    """Print the report and return 1 if it holds an error, with ``--strict`` also if it holds a warning.

    Several services have a report each.
    """
    found = [(url, _diagnosis(url, arguments)) for url in addresses(arguments.url, os.environ)]
    if arguments.json:
        facts = [{**each.to_dict(), "severity": each.severity} for _, each in found]
        print_json(facts[0] if len(facts) == 1 else {"services": facts})
    else:
        for number, (url, each) in enumerate(found, 1):
            if len(found) > 1:
                print(f"{'' if number == 1 else chr(10)}Service {number} of {len(found)}: {url}")
            print("\n".join(report(each, _page())), flush=True)
    bad = WARNING if arguments.strict else ERROR
    return int(any(SEVERITIES.index(each.severity) >= SEVERITIES.index(bad) for _, each in found))


def addresses(given: str | None, environ: Mapping[str, str]) -> tuple[str | None, ...]:
    """Return the services to look at: each of several that are named; else what was given, and if nothing."""
    named = given or environ.get("FOUNDRY_ENDPOINT", "")
    if "," not in named:
        return (given,)
    try:
        return base_urls(named)
    except ConfigError:  # the report tells what is wrong with it
        return (given,)


def _diagnosis(url: str | None, arguments: Namespace) -> Diagnosis:
    settings = DoctorSettings(
        url=url,
        model=arguments.model,
        headers=headers_of(arguments.header or ()),
        offline=arguments.offline,
        timeout=arguments.timeout,
        retries=arguments.retries,
    )
    return diagnose(settings)


def report(diagnosis: Diagnosis, page: Page) -> Iterator[str]:
    """Yield the lines of the report: what was found, group by group, and its sum."""
    yield f"foundry-rest doctor {diagnosis.version}: {summary(diagnosis)}"
    for group, findings in groupby(diagnosis.findings, attrgetter("group")):
        yield from ("", group)
        for finding in findings:
            yield from page.lines(finding)


def summary(diagnosis: Diagnosis) -> str:
    """Return how much was found that is not well."""
    counts = {severity: diagnosis.count(severity) for severity in (ERROR, WARNING, NOTE)}
    told = [f"{count} {severity}{'s' * (count != 1)}" for severity, count in counts.items() if count]
    return ", ".join(told) or "all is well"


def _page() -> Page:
    if not sys.stdout.isatty():
        return Page()
    columns = min(shutil.get_terminal_size().columns, WIDTH)
    # Consoles of Windows show colours only where the terminal says so.
    knows_colours = os.name != "nt" or "WT_SESSION" in os.environ
    is_wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Page(columns, is_coloured=knows_colours and is_wanted)

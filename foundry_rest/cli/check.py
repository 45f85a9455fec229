"""The command ``check``: one line on stdout for what watches the service, and its exit code."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable

from foundry_rest.cli.streams import print_text
from foundry_rest.client import FoundryAPIClient
from foundry_rest.ops.check import CheckSettings
from foundry_rest.ops.check import check as checked
from foundry_rest.ops.plugin_format import Range


def check(arguments: Namespace) -> int:
    """Print the verdict and return its state as the exit code."""
    settings = settings_for(arguments)
    # Its present state is asked for: nothing is loaded, tried again or refused because of what was before.
    with FoundryAPIClient(arguments.url, retries=0, breaker=None, auto_load=False) as client:
        verdict = checked(client, settings)
    print_text(str(verdict))
    return int(verdict.state)


def settings_for(arguments: Namespace) -> CheckSettings:
    """Return what is checked, and what is bad."""
    return CheckSettings(
        model=arguments.model,
        answer=arguments.answer,
        tokens=arguments.tokens,
        warning=_ranges(arguments.warning),
        critical=_ranges(arguments.critical),
        timeout=arguments.timeout,
    )


def _ranges(given: Iterable[str]) -> dict[str, Range]:
    """Return ranges by the name of their figure; one without a name is for the latency."""
    ranges = {}
    for each in given:
        name, mark, text = each.rpartition("=")
        ranges[name if mark else "latency"] = Range.parse(text)
    return ranges

"""The command ``check``: one line on stdout for what watches the service, and its exit code."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable

from foundry_rest.cli.client import client_for
from foundry_rest.cli.output import print_json
from foundry_rest.cli.streams import print_text
from foundry_rest.ops.check import CheckSettings, Verdict
from foundry_rest.ops.check import check as checked
from foundry_rest.ops.plugin_format import Range


def check(arguments: Namespace) -> int:
    """Print the verdict and return its state as the exit code."""
    settings = settings_for(arguments)
    # Its present state is asked for: nothing is loaded, tried again or refused because of what was before.
    with client_for(arguments, timeout=None, breaker=None, auto_load=False) as client:
        verdict = checked(client, settings)
    if arguments.json:
        print_json(_facts(verdict))
    else:
        print_text(str(verdict))
    return int(verdict.state)


def _facts(verdict: Verdict) -> dict[str, object]:
    return {
        "state": verdict.state.name,
        "exit_code": int(verdict.state),
        "text": verdict.text,
        "figures": {each.label: {"value": each.value, "unit": each.unit} for each in verdict.measures},
        "health": None if verdict.report is None else verdict.report.to_dict(),
    }


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

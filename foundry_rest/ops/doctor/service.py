"""Checks of the service: which address is used, what each place of discovery names, how the service is."""

from __future__ import annotations

from collections.abc import Iterator

from foundry_rest.config import is_loopback
from foundry_rest.ops.doctor.evidence import Evidence
from foundry_rest.ops.doctor.findings import Finding, error, note, of_error, ok, warning
from foundry_rest.ops.doctor.listeners import Listener, state_of
from foundry_rest.schema import HealthReport
from foundry_rest.schema.tables import milliseconds
from foundry_rest.services.discovery.survey import COMMANDS, Place

_MEGABYTE = 1e6


def address(evidence: Evidence) -> Iterator[Finding]:
    """Tell which address is used, and who named it."""
    if evidence.named is None:
        yield ok("no address is given: the service is looked for")
    else:
        given = "FOUNDRY_ENDPOINT" if evidence.settings.url is None else "--url"
        yield ok(f"{given} names {evidence.url}, which is used without a search")


def registry(evidence: Evidence) -> Iterator[Finding]:
    """Tell what the files of ``foundry-rest serve`` name."""
    return _places(evidence, "registry")


def daemon_file(evidence: Evidence) -> Iterator[Finding]:
    """Tell what the file of the ``foundry`` command's daemon names."""
    return _places(evidence, "daemon_file")


def command(evidence: Evidence) -> Iterator[Finding]:
    """Tell what the ``foundry`` command says."""
    found = [finding for source in COMMANDS for finding in _places(evidence, source)]
    yield from found or [note("the foundry command is not on PATH")]


def health(evidence: Evidence) -> Iterator[Finding]:
    """Tell whether the service answers, or why not."""
    service = evidence.service
    if service.report is not None:
        yield told(service.report)
    elif service.failure is not None:
        yield with_way_out(of_error(service.failure), evidence.url, evidence.usable_place())


def process(evidence: Evidence) -> Iterator[Finding]:
    """Tell which process listens at the address, and whether it runs."""
    url = evidence.url
    if not url:
        return
    if not is_loopback(url):
        yield note(f"{url} is on another machine: its process is not looked at")
        return
    if not evidence.listeners and evidence.report is not None:
        yield note(f"the system does not tell which process listens at {url}")
    yield from (held(each, url) for each in evidence.listeners)


def telemetry(evidence: Evidence) -> Iterator[Finding]:
    """Tell whether the runtime was told to send no telemetry."""
    report = evidence.report
    if report is not None and report.generation == "2.x" and is_loopback(report.url):
        yield from (telling(each) for each in evidence.listeners)


def told(report: HealthReport) -> Finding:
    """Return what a service tells of its health."""
    memory = "" if report.memory_usage is None else f", {report.memory_usage / _MEGABYTE:,.0f} MB of memory"
    where = f"{report.generation} answers at {report.url} in {milliseconds(report.latency)} ms{memory}"
    if report.status == "busy":
        return warning(f"{where}; it is too busy to list its models", "A model may be loading: wait a while.")
    return ok(f"{where}; in memory: {', '.join(report.loaded_models) or 'no model'}")


def with_way_out(finding: Finding, url: str, place: Place | None) -> Finding:
    """Return the failure at an address with another at which a service does answer, if there is one."""
    if place is None or place.url == url:
        return finding
    return error(
        finding.text, f"A service answers at {place.url}: give that address, or none to have it found."
    )


def found_at(place: Place, state: str, *, is_asked: bool) -> Finding:
    """Return what one place of discovery is worth.

    Args:
        place: The place.
        state: The state of the process that it names.
        is_asked: Whether its address was asked.
    """
    if not place.url:
        return note(f"{place.source}: {place.note}")
    if place.refusal:
        advice = f"If you trust it, name it: FOUNDRY_ENDPOINT={place.url}."
        return warning(f"{place.source}: {place.url} is not used: {place.refusal}", advice)
    if place.generation:
        return ok(f"{place.source}: {place.generation} answers at {place.url}")
    if state == "gone":
        what = f"{place.source} is stale: it names {place.url} and pid {place.pid}, which has ended"
        return warning(what, "It does no harm, and goes with the next start of a service.")
    if not is_asked:
        return ok(f"{place.source}: names {place.url}, which was not asked")
    if state == "stopped":
        what = f"{place.source} names {place.url} and pid {place.pid}, which was stopped by a signal"
        return warning(what, f"Let it go on: kill -CONT {place.pid}.")
    if state == "there":
        what = f"{place.source} names {place.url} and pid {place.pid}, which runs but does not answer there"
        return warning(what, "Start the service again; end that process first if it is the service.")
    return warning(f"{place.source}: {place.note}", "Start the service again.")


def held(listener: Listener, url: str) -> Finding:
    """Return what the process that listens at an address is worth."""
    who = f"pid {listener.pid} ({listener.name or 'of unknown name'})"
    if listener.is_stopped:
        what = f"{who} listens at {url}, but was stopped by a signal and does nothing"
        return error(what, f"Let it go on: kill -CONT {listener.pid}.")
    if not listener.is_ours:
        return note(f"{who} listens at {url} and is another user's", "Use it only if you trust that user.")
    return ok(f"{who} listens at {url}")


def telling(listener: Listener) -> Finding:
    """Return whether a process that hosts Microsoft's runtime was told to send no telemetry."""
    if listener.is_told_to_be_silent:
        return ok(f"pid {listener.pid} was started with CI set: the runtime sends no telemetry")
    if listener.is_told_to_be_silent is None:
        return note(f"whether pid {listener.pid} sends telemetry is hidden by the system")
    return note(
        f"pid {listener.pid} was started without CI=true: Microsoft's runtime sends telemetry",
        "Start it with CI=true in its environment, or with foundry-rest serve.",
    )


def _places(evidence: Evidence, source: str) -> Iterator[Finding]:
    is_asked = not evidence.settings.offline
    for place in evidence.places(source):
        yield found_at(place, state_of(place.pid), is_asked=is_asked)

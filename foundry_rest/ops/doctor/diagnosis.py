"""The table of checks, and the run of all of them at once, within a bound."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooLate
from functools import partial
from typing import NamedTuple

from msgspec.structs import replace

from foundry_rest.ops.doctor import connectivity, environment, models, packages, service, system
from foundry_rest.ops.doctor.evidence import Evidence, start
from foundry_rest.ops.doctor.findings import ERROR, WARNING, Diagnosis, DoctorSettings, Finding
from foundry_rest.ops.doctor.redaction import Redactor


class Check(NamedTuple):
    """One check.

    Attributes:
        id: Its stable name.
        group: Its group in the report.
        make: Yields what it finds.
        asks: It needs the service or the network.
        unmade: What it is worth that it could not be made.
    """

    id: str
    group: str
    make: Callable[[Evidence], Iterable[Finding]]
    asks: bool = False
    unmade: str = WARNING


CHECKS = (
    Check("system.versions", "System", system.versions),
    Check("system.installations", "System", system.installations),
    Check("system.commands", "System", system.commands),
    Check("system.directories", "System", system.directories),
    Check("system.telemetry", "System", system.telemetry),
    Check("packages.required", "Packages", packages.required),
    Check("packages.optional", "Packages", packages.optional),
    Check("settings.variables", "Settings", environment.variables),
    Check("settings.unknown", "Settings", environment.unknown),
    Check("service.address", "Service", service.address),
    Check("service.registry", "Service", service.registry),
    Check("service.daemon_file", "Service", service.daemon_file),
    Check("service.command", "Service", service.command, asks=True),
    Check("service.health", "Service", service.health, asks=True, unmade=ERROR),
    Check("service.process", "Service", service.process, asks=True),
    Check("service.telemetry", "Service", service.telemetry, asks=True),
    Check("models.name", "Models", models.name, asks=True),
    Check("models.disk", "Models", models.disk, asks=True),
    Check("models.memory", "Models", models.memory, asks=True),
    Check("connectivity.proxies", "Connectivity", connectivity.proxies),
    Check("connectivity.loopback", "Connectivity", connectivity.loopback, asks=True),
    Check("connectivity.scheme", "Connectivity", connectivity.scheme, asks=True),
    Check("connectivity.headers", "Connectivity", connectivity.headers),
)


def diagnose(settings: DoctorSettings | None = None) -> Diagnosis:
    """Return what is wrong with this machine's settings, with the service, and with the way there.

    Nothing is started, loaded or written. A failure of a check is a finding.

    Args:
        settings: What is looked at.
    """
    given = settings or DoctorSettings()
    environ = dict(os.environ)
    evidence = Evidence(given, environ)
    chosen = [check for check in CHECKS if not (check.asks and given.offline)]
    shown = Redactor.of_user(environ)
    found = (redacted(finding, shown) for finding in made(chosen, evidence))
    return Diagnosis(version=packages.own_version(), findings=tuple(found))


def made(checks: Iterable[Check], evidence: Evidence) -> Iterator[Finding]:
    """Yield what each check finds; all are made at the same time, and none is waited for too long."""
    running = [(check, start(partial(_all_of, check, evidence))) for check in checks]
    for check, future in running:
        for finding in _outcome(check, future, evidence):
            yield replace(finding, id=check.id, group=check.group)


def redacted(finding: Finding, shown: Callable[[str], str]) -> Finding:
    """Return a finding whose texts can be shown to others."""
    return replace(finding, text=shown(finding.text), advice=shown(finding.advice))


def _all_of(check: Check, evidence: Evidence) -> list[Finding]:
    return list(check.make(evidence))


def _outcome(check: Check, future: Future[list[Finding]], evidence: Evidence) -> list[Finding]:
    try:
        return future.result(evidence.left())
    except TooLate:
        reason = f"no result within {evidence.settings.timeout:g} s"
    except Exception as failure:  # noqa: BLE001 (whatever is wrong with this machine, the other findings are told)
        reason = f"{type(failure).__name__}: {failure}"
    text, advice = f"this check could not be made: {reason}", "Try a larger --timeout, or look at it by hand."
    return [Finding(severity=check.unmade, text=text, advice=advice)]

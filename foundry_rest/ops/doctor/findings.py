"""What a check found, and the report that all findings make."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from foundry_rest.checks import flag, positive_seconds, whole_number
from foundry_rest.config import base_url
from foundry_rest.errors import FoundryError
from foundry_rest.schema.request import check_model_name
from foundry_rest.values import Value

#: How bad a finding is, from good to bad.
SEVERITIES = OK, NOTE, WARNING, ERROR = "ok", "note", "warning", "error"
#: Seconds for all checks together: with the start of the command less than three.
TIMEOUT = 2.0


class DoctorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the doctor looks at.

    Attributes:
        url: Address of the service; ``None`` for that of the environment, else to look for one.
        model: Model that is wanted, alias or id; ``None`` for that of the environment, else the default.
        headers: Headers that the program adds to every request; a service of which nobody knows whose it is
            does not get them.
        offline: Ask no service and no network.
        timeout: Seconds for all checks together.
        retries: Tries of each request after the first.

    Raises:
        ConfigError: A value cannot be used.
    """

    url: str | None = None
    model: str | None = None
    headers: Mapping[str, str] = {}
    offline: bool = False
    timeout: float = TIMEOUT
    retries: int = 0

    def __post_init__(self) -> None:
        if self.url is not None:
            base_url(self.url)
        if self.model is not None:
            check_model_name(self.model)
        flag("offline", self.offline)
        positive_seconds("timeout", self.timeout)
        whole_number("retries", self.retries, 0)


class Finding(Value, msgspec.Struct, frozen=True, kw_only=True):
    """What one check found.

    Attributes:
        id: Stable name of the check, such as ``"service.health"``; a check may find several things.
        group: Its group, such as ``"Service"``.
        severity: ``"ok"``, ``"note"``, ``"warning"`` or ``"error"``.
        text: What was found.
        advice: What to do; ``""`` for nothing.
    """

    id: str = ""
    group: str = ""
    severity: str = OK
    text: str
    advice: str = ""


class Diagnosis(Value, msgspec.Struct, frozen=True, kw_only=True):
    """All findings of the doctor; without keys, the user's name and the home directory.

    Attributes:
        version: Version of foundry_rest.
        findings: What was found, in the order of the checks.
    """

    version: str
    findings: tuple[Finding, ...] = ()

    @property
    def severity(self) -> str:
        """Return the worst severity of all findings."""
        return max((each.severity for each in self.findings), key=SEVERITIES.index, default=OK)

    def count(self, severity: str) -> int:
        """Return how many findings have a severity."""
        return sum(each.severity == severity for each in self.findings)


def ok(text: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(text=text)


def note(text: str, advice: str = "") -> Finding:
    """Return a finding that is worth knowing."""
    return Finding(severity=NOTE, text=text, advice=advice)


def warning(text: str, advice: str = "") -> Finding:
    """Return a finding that costs something, or will."""
    return Finding(severity=WARNING, text=text, advice=advice)


def error(text: str, advice: str = "") -> Finding:
    """Return a finding that has to be mended."""
    return Finding(severity=ERROR, text=text, advice=advice)


def of_error(failure: FoundryError, severity: str = ERROR) -> Finding:
    """Return an error of this package as a finding, in the words of the command."""
    advice = failure.advice_for("doctor")
    text = failure.for_command("doctor").removesuffix(advice).rstrip(" .")
    return Finding(severity=severity, text=text, advice=advice)

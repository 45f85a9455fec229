"""The check of a service, as a monitor runs it every minute: is it there, is it fast, does it answer?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from foundry_rest import clock
from foundry_rest.checks import positive_seconds, whole_number
from foundry_rest.client import FoundryAPIClient
from foundry_rest.errors import ConfigError, DeadlineExceeded, FoundryError
from foundry_rest.ops.plugin_format import Measure, Range, State, line_of, worst
from foundry_rest.schema import HealthReport, ModelInfo
from foundry_rest.schema.service_state import ServiceState
from foundry_rest.transport.call_options import OtherCallOptions
from foundry_rest.transport.cancellation import CancelToken

#: Seconds for the whole check, as other plugins have by default.
TIMEOUT = 10.0
#: What a range may be given for, and its unit.
MEASURES = {"latency": "s", "memory": "MB", "answer": "s"}
_MEGABYTE = 1e6
_PROMPT = "Say OK"


class CheckSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is checked, and what is bad.

    Attributes:
        model: Model that must be loaded, alias or id; ``None`` for any or none.
        answer: Whether the model has to give some tokens.
        tokens: How many it is asked for.
        warning: Ranges that warn, by the name of the figure: ``"latency"``, ``"memory"``, ``"answer"``.
        critical: Ranges that are critical.
        timeout: Seconds for the whole check.
    """

    model: str | None = None
    answer: bool = False
    tokens: int = 1
    warning: Mapping[str, Range] = msgspec.field(default_factory=dict)
    critical: Mapping[str, Range] = msgspec.field(default_factory=dict)
    timeout: float = TIMEOUT

    def __post_init__(self) -> None:
        positive_seconds("timeout", self.timeout)
        whole_number("tokens", self.tokens, 1)
        for name in (*self.warning, *self.critical):
            if name not in MEASURES:
                raise ConfigError(f"there is no figure {name!r}", advice=f"There are {', '.join(MEASURES)}.")
            if name == "answer" and not self.answer:
                raise ConfigError("a range for answer needs an answer", advice="Ask for one with --answer.")


class Verdict(NamedTuple):
    """The outcome of a check.

    Attributes:
        state: The worst of what was found.
        text: What was found, in one line.
        measures: The figures.
        report: The service's health; ``None`` where it did not tell.
    """

    state: State
    text: str
    measures: tuple[Measure, ...] = ()
    report: HealthReport | None = None

    def __str__(self) -> str:
        return line_of("FOUNDRY", self.state, self.text, self.measures)


class _Finding(NamedTuple):
    state: State
    text: str
    measures: tuple[Measure, ...] = ()


def check(client: FoundryAPIClient, settings: CheckSettings, *, cancel: CancelToken | None = None) -> Verdict:
    """Return the verdict on the service of a client; its failures are part of it.

    Give a client with ``retries=0``, ``breaker=None`` and ``auto_load=False``, which tells the present state.

    Args:
        client: Asks the service.
        settings: What is checked.
        cancel: Ends the check, which is critical then.
    """
    return _Check(client, settings, cancel).run()


class _Check:
    """One check under way."""

    def __init__(self, client: FoundryAPIClient, settings: CheckSettings, cancel: CancelToken | None) -> None:
        self._client, self._settings, self._cancel = client, settings, cancel
        self._until = clock.monotonic() + settings.timeout

    def run(self) -> Verdict:
        findings: list[_Finding] = []
        report = None
        try:
            # Half of the time, so that what was silent is told, and not only that the time is over.
            report = self._client.health_check(timeout=self._settings.timeout / 2, **self._bounds)
            findings.append(self._service(report))
            findings += self._others(report)
            if self._settings.model is not None or self._settings.answer:
                findings += self._model(report)
        except ConfigError as error:
            findings.append(_Finding(State.UNKNOWN, _reason(error)))
        except DeadlineExceeded as error:
            what = f"no whole answer within {self._settings.timeout:g} s"
            findings.append(_Finding(State.CRITICAL, f"{what} ({error.call} at {error.url})"))
        except FoundryError as error:
            findings.append(_Finding(State.CRITICAL, _reason(error)))
        measures = tuple(measure for finding in findings for measure in finding.measures)
        bad = [_alert(measure) for measure in measures if measure.state is not State.OK]
        states = [each.state for each in findings] + [each.state for each in measures]
        state = worst(states)
        # What is bad comes first: a pager shows the beginning.
        ordered = sorted(findings, key=lambda each: each.state is State.OK)
        return Verdict(state, "; ".join([*bad, *(each.text for each in ordered)]), measures, report)

    @property
    def _bounds(self) -> OtherCallOptions:
        """Return the options of each call: what is left of the time, and who may end it."""
        return {"deadline": max(0.001, self._until - clock.monotonic()), "cancel": self._cancel}

    def _measure(self, name: str, value: float | None) -> Measure:
        settings = self._settings
        return Measure(name, value, MEASURES[name], settings.warning.get(name), settings.critical.get(name))

    def _service(self, report: HealthReport) -> _Finding:
        count = len(report.loaded_models)
        memory = None if report.memory_usage is None else report.memory_usage / _MEGABYTE
        measures = (
            self._measure("latency", report.latency),
            self._measure("memory", memory),
            Measure("models", None if report.status == "busy" else count),
        )
        where = f"{report.generation} at {report.url}"
        if report.status == "busy":
            return _Finding(State.WARNING, f"{where} is busy and does not list its models", measures)
        return _Finding(State.OK, f"{where}, {count} model{'s' * (count != 1)} loaded", measures)

    def _others(self, report: HealthReport) -> list[_Finding]:
        """Return what is to be told of a client's further services: which do not answer."""
        gone = report.unreachable
        if not gone:
            return []
        told = f"{len(gone)} of {len(report.services) + len(gone)} services do not answer: {', '.join(gone)}"
        return [_Finding(State.WARNING, told)]

    def _model(self, report: HealthReport) -> list[_Finding]:
        name = self._settings.model or self._client.model
        if report.services:
            finding = _presence_anywhere(name, self._client.health.state(name, **self._bounds).services)
        else:
            info = self._client.models.resolve(name, **self._bounds)
            finding = _presence(name, info, report)
        if finding.state is not State.OK or not self._settings.answer:
            return [finding]
        return [self._answer(name)]

    def _answer(self, name: str) -> _Finding:
        began = clock.monotonic()
        bounds, services = self._bounds, len(self._client.targets())
        if services > 1:  # each but one may be gone
            bounds["retries"] = services - 1
        self._client.complete(_PROMPT, model=name, max_tokens=self._settings.tokens, **bounds)
        seconds = clock.monotonic() - began
        return _Finding(State.OK, f"{name} answers in {seconds:.3f} s", (self._measure("answer", seconds),))


def _presence(name: str, info: ModelInfo, report: HealthReport) -> _Finding:
    if info.loaded or info.id in report.loaded_models:
        return _Finding(State.OK, f"{name} is loaded")
    if info.cached is False:
        advice = f"fetch it with: foundry-rest download {name}"
        return _Finding(State.CRITICAL, f"{name} is in the catalog, but not on disk; {advice}")
    where = "on disk, but not loaded" if info.cached else "not loaded"
    return _Finding(State.WARNING, f"{name} is {where}; load it with: foundry-rest load {name}")


def _presence_anywhere(name: str, states: Sequence[ServiceState]) -> _Finding:
    """Return whether one of several services has a model in memory."""
    holders = [each.url for each in states if each.status == "ready"]
    if holders:
        return _Finding(State.OK, f"{name} is loaded at {', '.join(holders)}")
    return _Finding(State.WARNING, f"{name} is loaded by no service; load it with: foundry-rest load {name}")


def _alert(measure: Measure) -> str:
    if measure.value is None:
        return f"{measure.label} is not known here"
    bound = measure.critical if measure.state is State.CRITICAL else measure.warning
    return f"{measure.label} is {measure.value:.3g} {measure.unit} ({bound.text if bound else ''})"


def _reason(error: FoundryError) -> str:
    return error.for_command("check", in_lines=False).rstrip(".")

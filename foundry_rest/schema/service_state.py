"""ServiceState: how a service is, as a value that is true when it can be used."""

from __future__ import annotations

from typing import Literal

import msgspec

from foundry_rest.schema.models import HealthReport
from foundry_rest.values import Value

Status = Literal["offline", "starting", "standby", "ready", "busy"]


class ServiceState(Value, msgspec.Struct, frozen=True, kw_only=True):
    """The state of a service; in an ``if`` it is true when a call could be answered.

    Attributes:
        status: ``"offline"``: nothing answers; ``"starting"``: its process has just begun and does not answer
            yet; ``"standby"``: it answers, but the model is not in memory; ``"ready"``: it is; ``"busy"``: it
            answers, but not which models are in memory, as while one is loaded.
        reason: Why, in one sentence.
        advice: What to do next; ``""`` for nothing.
        url: Its address; ``""`` where none is known.
        report: Its health; ``None`` where it did not tell.
        services: The states of all services of a client of several.
    """

    status: Status
    reason: str
    advice: str = ""
    url: str = ""
    report: HealthReport | None = None
    services: tuple[ServiceState, ...] = ()

    def __bool__(self) -> bool:
        return self.status in ("standby", "ready", "busy")

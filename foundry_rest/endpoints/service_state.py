"""The state of a service from its health: an error is a state, too."""

from __future__ import annotations

from foundry_rest import clock
from foundry_rest.config import is_loopback
from foundry_rest.errors import DeadlineExceeded, FoundryError, ServiceTimeout
from foundry_rest.models.inventory import Inventory
from foundry_rest.models.names import best_match, same_model
from foundry_rest.schema import HealthReport
from foundry_rest.schema.service_state import ServiceState
from foundry_rest.services.context import Context
from foundry_rest.services.listeners import pids_at
from foundry_rest.transport.call import Options

#: Seconds for which a process that does not answer yet is taken for one that starts: 2.2.1 answers after 0.5
#: to 5 s, the foundry command's service after up to 60 (docs/reference/service.md, section 1).
_YOUNG = 90.0


def after_failure(error: FoundryError) -> ServiceState:
    """Return the state of a service whose health could not be asked."""
    if isinstance(error, (ServiceTimeout, DeadlineExceeded)) and error.url and _is_young(error.url):
        return ServiceState(
            status="starting",
            reason="its process has just begun and does not answer yet",
            advice="Ask again, or wait with client.health.wait_until_ready().",
            url=error.url,
        )
    return ServiceState(status="offline", reason=error.message, advice=str(error.advice), url=error.url)


def of_report(report: HealthReport, model: str | None, context: Context, options: Options) -> ServiceState:
    """Return the state of a service that answers.

    Args:
        report: Its health.
        model: Model that has to be in memory; ``None`` for any.
        context: Asks for the models' aliases where the report's ids do not tell.
        options: Of the request for these.
    """
    if report.status == "busy":
        reason = "it answers, but not which models are in memory, as while one is loaded"
        return ServiceState(status="busy", reason=reason, url=report.url, report=report)
    if not context.dialect_for(options).models().has("load"):
        reason = "it answers, and loads models by itself"
        return ServiceState(status="ready", reason=reason, url=report.url, report=report)
    name = (
        next(iter(report.loaded_models), None) if model is None else _loaded(model, report, context, options)
    )
    if name is not None:
        return ServiceState(
            status="ready", reason=f"{model or name} is in memory", url=report.url, report=report
        )
    return ServiceState(
        status="standby",
        reason=f"{'no model' if model is None else model} is {'' if model is None else 'not '}in memory",
        advice="The first call loads it, which may take minutes; client.models.load() does it before.",
        url=report.url,
        report=report,
    )


def _loaded(model: str, report: HealthReport, context: Context, options: Options) -> str | None:
    """Return the id of a model if it is in memory."""
    for id_ in report.loaded_models:
        if same_model(model, id_):
            return id_
    if not report.loaded_models:
        return None
    found = best_match(model, Inventory(context).loaded(options))
    return None if found is None else found.id


def _is_young(url: str) -> bool:
    """Return whether the process that listens at an address of this machine began a moment ago."""
    if not is_loopback(url):
        return False
    import psutil

    try:
        began = [psutil.Process(pid).create_time() for pid in pids_at(url)]
    except (psutil.Error, OSError, RuntimeError):
        return False
    return bool(began) and clock.now() - max(began) < _YOUNG

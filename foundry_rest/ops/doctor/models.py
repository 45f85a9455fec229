"""Checks of the model that is wanted: what its name means, and whether disk and memory hold it."""

from __future__ import annotations

from collections.abc import Iterator

from foundry_rest.errors import NotFound
from foundry_rest.models.disk import local_folder
from foundry_rest.models.room import amount, free_bytes
from foundry_rest.ops.doctor.evidence import Evidence, Model
from foundry_rest.ops.doctor.findings import ERROR, NOTE, WARNING, Finding, error, note, of_error, ok, warning
from foundry_rest.schema import ModelInfo

_BY_NAME = "--model (FOUNDRY_MODEL)"
_NAME_ANOTHER = f"Or name another by {_BY_NAME}."
#: What a finding about the default model is worth, which nobody asked for.
_MILDER = {ERROR: WARNING, WARNING: NOTE}


def name(evidence: Evidence) -> Iterator[Finding]:
    """Tell what the name of the model means, and whether that is loaded."""
    if evidence.service.failure is not None:
        yield note("no model was looked for, because the service does not answer")
        return
    wanted, model = evidence.config.model, evidence.model
    found = meant(wanted, model.info) if model.info is not None else missed(wanted, model)
    yield found if evidence.is_model_named else milder(found, wanted)


def disk(evidence: Evidence) -> Iterator[Finding]:
    """Tell whether a model that is not there fits on the disk."""
    model, report = evidence.model.info, evidence.report
    folder = None if report is None else local_folder(report.cache_path, report.url)
    free = None if folder is None else free_bytes(folder)
    if model is not None and free is not None:
        yield fits_on_disk(model, free, str(folder))


def memory(evidence: Evidence) -> Iterator[Finding]:
    """Tell whether a model that is not loaded fits into the memory."""
    import psutil

    model, report = evidence.model.info, evidence.report
    if model is not None and report is not None and report.memory_usage is not None:
        yield fits_in_memory(model, psutil.virtual_memory().available)


def meant(wanted: str, model: ModelInfo) -> Finding:
    """Return what a name means, and whether that model can be used."""
    what = f"{wanted} is an id" if wanted == model.id else f"{wanted} is the alias of {model.id}"
    if model.loaded:
        return ok(f"{what}, loaded")
    if model.cached is False:
        return error(
            f"{what}, which is in the catalog, but not on disk",
            f"Fetch it with: foundry-rest download {wanted} (2.x: with --embedded).",
        )
    where = "on disk, but not loaded" if model.cached else "not loaded"
    what = f"{what}, {where}: the first call waits for its load"
    return warning(what, f"Load it with: foundry-rest load {wanted}.")


def missed(wanted: str, model: Model) -> Finding:
    """Return why the model of a name is not known."""
    if model.may_be:
        what = f"{wanted} is not listed, but may be the alias of {model.may_be}"
        return note(what, f"The first call finds out; or do it now: foundry-rest load {wanted}.")
    if isinstance(model.failure, NotFound):
        return of_error(model.failure)
    return warning(f"whether there is a model {wanted} was not told: {model.failure}", "Ask again later.")


def milder(finding: Finding, wanted: str) -> Finding:
    """Return a finding about the default model, which nobody may want."""
    severity = _MILDER.get(finding.severity)
    if severity is None:
        return finding
    advice = finding.advice if _BY_NAME in finding.advice else f"{finding.advice} {_NAME_ANOTHER}".lstrip()
    return Finding(severity=severity, text=f"{finding.text} ({wanted} is the default)", advice=advice)


def fits_on_disk(model: ModelInfo, free: int, folder: str) -> Finding:
    """Return whether the disk has room for a model, as far as its size is known."""
    room = f"{amount(free)} are free at {folder}"
    if model.size is None or model.cached or model.loaded:
        return ok(room)
    size = f"{model.id} needs {amount(model.size)}"
    if model.size > free:
        return error(f"{room}, and {size}", "Make room, or choose a smaller model.")
    return ok(f"{room}; {size}")


def fits_in_memory(model: ModelInfo, available: int) -> Finding:
    """Return whether the memory has room for a model, as far as its size is known."""
    room = f"{amount(available)} of memory are available"
    if model.size is None or model.loaded:
        return ok(room)
    size = f"{model.id} needs about {amount(model.size)}"
    if model.size > available:
        advice = "Unload others with: foundry-rest unload --all; or choose a smaller model."
        return warning(f"{room}, and {size}", advice)
    return ok(f"{room}; {size}")

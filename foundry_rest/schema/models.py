"""Models, downloads, and the health of the service."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from foundry_rest.values import Value


class ModelInfo(Value, msgspec.Struct, frozen=True, kw_only=True):
    """One model, in the catalog, on disk or in memory.

    Attributes:
        id: Exact id, such as ``"phi-4-mini-instruct-generic-cpu:5"``.
        alias: Short name shared by all variants; ``""`` when unknown.
        name: Id without its version.
        version: ``""`` when unknown.
        device: ``"CPU"``, ``"GPU"``, ``"NPU"`` or ``""``.
        execution_provider: Such as ``"CPUExecutionProvider"``.
        size: Bytes on disk, or ``None``.
        task: Such as ``"chat-completion"``.
        tool_calling: Whether the model can call tools; ``None`` when unknown.
        context_length: Tokens, from the catalog, or ``None``.
        cached: Whether it is on the service's disk; ``None`` when unknown.
        loaded: Whether it is in memory.
        raw: The decoded entry of the service's list or of its catalog file.
    """

    id: str
    alias: str = ""
    name: str = ""
    version: str = ""
    device: str = ""
    execution_provider: str = ""
    size: int | None = None
    task: str = ""
    tool_calling: bool | None = None
    context_length: int | None = None
    cached: bool | None = None
    loaded: bool = False
    raw: object = None

    def has_name(self, name: str) -> bool:
        """Return whether ``name`` is this model's id, alias, or id without version, ignoring case.

        Where the service reports no versions (1.x on another machine), a name with any version matches.
        """
        folded = name.casefold()
        own_names = (self.id.casefold(), self.alias.casefold(), self.name.casefold())
        return folded in own_names or (not self.version and folded.partition(":")[0] == self.id.casefold())


class DownloadStep(Value, msgspec.Struct, frozen=True, kw_only=True):
    """The progress of a model on its way to the disk, and into memory, at one moment.

    Attributes:
        fraction: 0.0 to 1.0 of the file, or of the whole model; a load tells no part of itself.
        file: Name of the file; ``""`` for the whole model.
        done: Whether this is the last step: the service reports that the model is there.
        phase: ``"download"``; of ``ensure_loaded`` also ``"load"`` and, as the last, ``"ready"``.
    """

    fraction: float = 0.0
    file: str = ""
    done: bool = False
    phase: str = "download"

    @property
    def percent(self) -> float:
        """Return the fraction as a number from 0 to 100."""
        return self.fraction * 100


class HealthReport(Value, msgspec.Struct, frozen=True, kw_only=True):
    """The health of the service.

    Attributes:
        status: ``"ok"``, or ``"busy"`` when the list of loaded models did not come in time, as happens
            while a model is being loaded; a service that does not answer raises an error instead.
        url: Its address.
        generation: ``"2.x"``, ``"1.x"``, ``"0.x"``, or ``"openai"`` for another OpenAI-compatible server.
        pid: Id of its process, or ``None``.
        loaded_models: Ids of the models in memory.
        memory_usage: Resident memory of the service process in bytes; ``None`` on another machine.
        latency: Seconds that the status request took.
        cache_path: Directory of its models on its own machine, as it tells; ``""`` when it does not.
        raw: The decoded status body.
        headers: HTTP headers of the status response.
        services: The health of each service that answers, of a client of several.
        unreachable: The addresses of those that do not.
    """

    status: str
    url: str
    generation: str
    pid: int | None = None
    loaded_models: tuple[str, ...] = ()
    memory_usage: int | None = None
    latency: float = 0.0
    cache_path: str = ""
    raw: object = None
    headers: Mapping[str, str] = {}
    services: tuple[HealthReport, ...] = ()
    unreachable: tuple[str, ...] = ()

"""Models and the service itself."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Describe one model.

    Attributes:
        id: Exact id, such as ``"phi-4-mini-instruct-generic-cpu:5"``.
        alias: Short name shared by all variants; ``""`` when unknown.
        name: Id without its version.
        version: ``""`` when unknown.
        device: ``"CPU"``, ``"GPU"``, ``"NPU"`` or ``""``.
        execution_provider: Such as ``"CPUExecutionProvider"``.
        size: Bytes on disk, or ``None``.
        task: Such as ``"chat-completion"``.
        tool_calling: The model knows how to call tools; ``None`` when unknown.
        context_length: Tokens by the catalog, or ``None``.
        cached: On this machine; ``None`` when unknown.
        loaded: In memory.
        raw: The entry as the service or its catalog file spells it.
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
        """Tell whether ``name`` means this model: id, alias, or id without version, in any case.

        Where the service tells no versions (1.x on another machine), any version of the name does.
        """
        folded = name.casefold()
        mine = (self.id.casefold(), self.alias.casefold(), self.name.casefold())
        return folded in mine or (not self.version and folded.partition(":")[0] == self.id.casefold())


class DownloadStep(msgspec.Struct, frozen=True, kw_only=True):
    """Tell how far a download is.

    Attributes:
        fraction: 0.0 to 1.0 of the file, or of the whole model.
        file: Which file; ``""`` for the whole model.
        done: It was the last step: the service says that the model is there.
    """

    fraction: float = 0.0
    file: str = ""
    done: bool = False


class ServiceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what the service says of itself.

    Attributes:
        pid: Its process, or ``None``.
        cache_path: Its model directory, or ``""``.
        raw: The decoded body.
        headers: The answer's HTTP headers.
    """

    pid: int | None = None
    cache_path: str = ""
    raw: object = None
    headers: Mapping[str, str] = {}


class HealthReport(msgspec.Struct, frozen=True, kw_only=True):
    """Tell how the service is.

    Attributes:
        status: ``"ok"``; a service that does not answer raises instead.
        url: Its address.
        generation: ``"2.x"``, ``"1.x"``, ``"0.x"``, or ``"openai"`` for a service of another kind.
        pid: Its process, or ``None``.
        loaded_models: Ids of the models in memory.
        memory_usage: Resident memory of the service process in bytes; ``None`` on another machine.
        latency: Seconds that the status request took.
        raw: The decoded status body.
        headers: The status answer's HTTP headers.
    """

    status: str
    url: str
    generation: str
    pid: int | None = None
    loaded_models: tuple[str, ...] = ()
    memory_usage: int | None = None
    latency: float = 0.0
    raw: object = None
    headers: Mapping[str, str] = {}

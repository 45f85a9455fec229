"""What the services inside a host process share: 1.x and 2.x, the routes ``/models/...``."""

from __future__ import annotations

from typing import ClassVar

from msgspec.structs import replace

from foundry_rest.dialects.catalog_file import read_snapshot
from foundry_rest.dialects.openai import OpenAIDialect
from foundry_rest.dialects.operation import Operation
from foundry_rest.errors import ConfigError
from foundry_rest.schema import ModelInfo
from foundry_rest.transport.call import Call, Options, Replay, Reply


class ModelRoutesDialect(OpenAIDialect):
    """Speak to the service of a host process; subclasses spell a name in a path and read the answers."""

    guards_unload: ClassVar[bool] = False

    def loaded_models(self, options: Options) -> Operation[Reply, list[str]]:
        """List the ids of the models in memory; 2.x waits while one is being loaded."""
        return Operation(self.build_get("/models/loaded", "models.loaded", options), _parse_names)

    def load_model(
        self, name: str, options: Options, *, ttl: int | None = None, provider: str = ""
    ) -> Operation[Reply, str]:
        """Load a model: a GET that works for as long as the disk needs."""
        if ttl is not None:
            self.unsupported(
                "time to live of a model", "Call client.models.unload(name) when it is not needed."
            )
        if provider:
            self.unsupported("choice of the execution provider", "Give device= to choose a variant.")
        return Operation(self._switch("load", name, options), self.parse_loaded)

    def unload_model(self, name: str, options: Options, *, force: bool = False) -> Operation[Reply, str]:
        """Unload a model; there is no time to live that ``force`` could end."""
        del force
        call = self._switch("unload", name, options)
        return Operation(replace(call, replay=Replay.ALWAYS), self.parse_unloaded)

    def read_snapshot(self, content: bytes) -> list[ModelInfo]:
        """Read ``foundry.modelinfo.json``: all models of the catalog, with alias and id."""
        return read_snapshot(content)

    @staticmethod
    def segment(name: str) -> str | None:
        """Return how a model's name stands in a path; ``None`` when it cannot."""
        raise NotImplementedError

    @staticmethod
    def parse_loaded(reply: Reply) -> str:
        """Read the answer to a load."""
        raise NotImplementedError

    @staticmethod
    def parse_unloaded(reply: Reply) -> str:
        """Read the answer to an unload."""
        raise NotImplementedError

    def _switch(self, verb: str, name: str, options: Options) -> Call:
        """Build a load or unload, with the load's long time-out."""
        segment = self.segment(name) if name.strip(".") else None
        if segment is None:
            raise ConfigError(f"model {name!r} is no alias or id of this service", call=f"models.{verb}")
        call = self.build_get(f"/models/{verb}/{segment}", f"models.{verb}", options.patient(), name)
        return replace(call, replay=Replay.IF_UNSENT)


def _parse_names(reply: Reply) -> list[str]:
    return reply.decode(list[str])

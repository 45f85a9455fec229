"""Models: what the service lists, and which of them a name means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foundry_rest.checks import whole_number
from foundry_rest.errors import ConfigError, UnsupportedByService
from foundry_rest.models.inventory import Inventory
from foundry_rest.models.loading import Loading, LoadRequest
from foundry_rest.models.names import DEVICES
from foundry_rest.schema import ModelInfo
from foundry_rest.schema.request import check_model_name
from foundry_rest.services.context import Context
from foundry_rest.transport.call_options import CallOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: Alias of a type, because ``ModelLists.list`` hides the builtin inside the class.
ModelList = list[ModelInfo]


class ModelLists:
    """The part of the models' endpoint that reads and changes nothing."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._inventory = Inventory(context)
        self._loading = Loading(context, self._inventory)

    def catalog(self, **options: Unpack[CallOptions]) -> ModelList:
        """Return every model that the service knows, cached or not.

        A service on another machine reports less, and the other fields stay empty: 2.x lists bare ids, 1.x
        only cached models. On 2.x the first call may wait for the public catalog (4.5 s offline).

        Options: timeout, deadline, retries, headers, cancel, lane, cache.

        Example:
            >>> [info.id for info in client.models.catalog()]
            ['phi-4-mini-instruct-generic-cpu:5']
        """
        return self._inventory.catalog(self._context.options(**options))

    def list(self, **options: Unpack[CallOptions]) -> ModelList:
        """Return every model that the service knows; another name for ``catalog()``.

        Options: timeout, deadline, retries, headers, cancel, lane, cache.

        Example:
            >>> [info.id for info in client.models.list()]
            ['phi-4-mini-instruct-generic-cpu:5']
        """
        return self.catalog(**options)

    def cached(self, **options: Unpack[CallOptions]) -> ModelList:
        """Return the models that are on the service's disk.

        Raises:
            UnsupportedByService: The service is on another machine and has no such list.

        Options: timeout, deadline, retries, headers, cancel, lane, cache.

        Example:
            >>> [info.id for info in client.models.cached()]
            ['phi-4-mini-instruct-generic-cpu:5']
        """
        checked = self._context.options(**options)
        found = self._inventory.catalog(checked)
        if any(info.cached is None for info in found):
            raise UnsupportedByService(
                "the list of cached models needs the service's model directory, which is not on this machine",
                feature="cached models",
                generation=self._context.dialect_for(checked).generation,
            )
        return [info for info in found if info.cached]

    def loaded(self, **options: Unpack[CallOptions]) -> ModelList:
        """Return the models in memory.

        Options: timeout, deadline, retries, headers, cancel, lane, cache.

        Example:
            >>> [info.id for info in client.models.loaded()]
            ['phi-4-mini-instruct-generic-cpu:5']
        """
        return self._inventory.loaded(self._context.options(**options))

    def resolve(self, name: str, *, device: str | None = None, **options: Unpack[CallOptions]) -> ModelInfo:
        """Return the model for an alias, an id, or an id without version, ignoring case.

        Of several variants one on disk comes first, then the fastest device (NPU, GPU, CPU), then the newest
        version.

        Args:
            name: Alias or id.
            device: ``"NPU"``, ``"GPU"`` or ``"CPU"`` for a variant for this device only.
            options: Options of the call.

        Raises:
            ModelNotFound: The service lists no such model; ``suggestions`` holds similar names.

        Options: timeout, deadline, retries, headers, cancel, lane, cache.

        Example:
            >>> client.models.resolve("phi-4-mini").id
            'phi-4-mini-instruct-generic-cpu:5'
        """
        return self._loading.resolve(load_request(name, device), self._context.options(**options))


def load_request(
    name: str, device: str | None = None, ttl: int | None = None, provider: str = ""
) -> LoadRequest:
    """Return what is to be loaded.

    Raises:
        ConfigError: A value cannot be used.
    """
    if device is not None and (not isinstance(device, str) or device.upper() not in DEVICES):
        raise ConfigError(f"device must be one of {', '.join(DEVICES)}, not {device!r}")
    if ttl is not None:
        whole_number("ttl", ttl, 1)
    if not isinstance(provider, str):
        raise ConfigError(f"provider must be text such as 'cuda', not {provider!r}")
    return LoadRequest(check_model_name(name), (device or "").upper(), ttl, provider)

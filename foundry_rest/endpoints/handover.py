"""The service handed over to another client: where it is, the key, and the model's exact id."""

from __future__ import annotations

from typing import TypedDict

from foundry_rest.config import EnvironmentKey
from foundry_rest.endpoints.models import Models
from foundry_rest.errors import UnsupportedByService
from foundry_rest.services.context import Context
from foundry_rest.transport.call_options import CallOptions

#: What clients of OpenAI's take for a key where the service wants none; they refuse an empty one.
NO_KEY = "none"


class OpenAISettings(TypedDict):
    """What another client of OpenAI's dialect needs."""

    #: Address with ``/v1``.
    base_url: str
    #: The key of this client, else ``"none"``.
    api_key: str
    #: Exact id of the model.
    model: str


def openai_settings(context: Context, models: Models, model: str, options: CallOptions) -> OpenAISettings:
    """Return the settings for a client of OpenAI's dialect, with the model in memory."""
    try:
        models.ensure_loaded(model, **options)
        model = models.id_of(model, **options)
    except UnsupportedByService:  # it loads models by itself, and knows them by the names that people give
        pass
    key, target = context.config.api_key, context.target(context.options(**options))
    if isinstance(key, EnvironmentKey) and not target.is_known:
        key = None
    return {"base_url": f"{target.url}/v1", "api_key": key or NO_KEY, "model": model}

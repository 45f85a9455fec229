"""The check that a model is made for a task, before the request is sent.

A request for embeddings from a chat model ends the process of 1.x (docs/reference/service.md, section 11.2).
Other generations refuse it, but only after this client has loaded the model, which may take minutes and
gigabytes; it may be the default model, which the caller forgot to replace. So an unknown name is looked up
once where models can be loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from foundry_rest.dialects.operation import Dialect
from foundry_rest.errors import ConfigError, InvalidReply, ServerError, ServiceError
from foundry_rest.errors.advice import Advice, Words
from foundry_rest.models.inventory import Inventory
from foundry_rest.models.loading import Loading, LoadRequest
from foundry_rest.schema import ModelInfo
from foundry_rest.services.context import Context
from foundry_rest.transport.call import Options

CHAT, SPEECH = "chat-completion", "automatic-speech-recognition"
#: Errors that leave a task unknown: the service does not list it, or lists no aliases (2.x elsewhere).
_TASK_UNKNOWN = (ServiceError, InvalidReply)
#: The same where a wrong model ends the service: only a catalog that is unavailable for all models.
_CATALOG_UNAVAILABLE = (ServerError,)


def check_task(
    context: Context, name: str, options: Options, *, call: str, purpose: str, fits: Callable[[str], bool]
) -> None:
    """Raise ConfigError for a model whose task is known and does not fit.

    Args:
        context: The context of the endpoint.
        name: Alias or id.
        options: Options of the call that is about to be sent.
        call: Label of that call.
        purpose: The purpose of the call, for the message.
        fits: Returns whether a task fits; ``""`` is an unknown one.

    Raises:
        ConfigError: The model is for another task.
        ModelNotFound: The model is unknown, and a wrong one would end the service.
    """
    dialect = context.dialect_for(options)
    info = context.names.get(name)
    if _must_look_up(info, dialect):
        with suppress(*(_TASK_UNKNOWN if dialect.checks_tasks else _CATALOG_UNAVAILABLE)):
            info = Loading(context, Inventory(context)).resolve(LoadRequest(name), options)
    if info is not None and not fits(info.task):
        raise ConfigError(
            f"{info.id} is a model for {info.task}, not for {purpose}",
            call=call,
            model=name,
            advice=Advice(
                Words(
                    "Give model= of one that is: client.models.list() tells each one's task.",
                    "Give --model of one that is: foundry-rest models --json tells each one's task.",
                )
            ),
        )


def _must_look_up(info: ModelInfo | None, dialect: Dialect) -> bool:
    if dialect.checks_tasks:
        return info is None and dialect.models().has("load")
    return info is None or not info.task

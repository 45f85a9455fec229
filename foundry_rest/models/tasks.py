"""What a model is for, looked up before it is asked.

A chat model that is asked for embeddings ends 1.x's process. Elsewhere the service refuses it, but only
after this client has loaded it, which may take minutes and gigabytes, and be the default model that the
caller forgot to replace. So an unknown name is looked up once where models can be loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from foundry_rest.dialects.operation import Dialect
from foundry_rest.errors import ConfigError, InvalidReply, ServerError, ServiceError
from foundry_rest.models.inventory import Inventory
from foundry_rest.models.loading import Loading, Wanted
from foundry_rest.schema import ModelInfo
from foundry_rest.services.context import Context
from foundry_rest.transport.call import Options

CHAT, SPEECH = "chat-completion", "automatic-speech-recognition"
#: What leaves a task unknown: the service does not tell, or tells no aliases (2.x on another machine).
_UNTOLD = (ServiceError, InvalidReply)
#: Where the wrong model is deadly: only that the catalog is away for all models.
_AWAY = (ServerError,)


def check_task(
    context: Context, name: str, options: Options, *, call: str, purpose: str, fits: Callable[[str], bool]
) -> None:
    """Refuse a model whose task is known and does not fit.

    Args:
        context: Where names are learnt.
        name: Alias or id.
        options: Of the call that is about to be sent.
        call: Its label.
        purpose: What is wanted, in words.
        fits: Tells whether a task will do; ``""`` is an unknown one.

    Raises:
        ConfigError: The model is for something else.
        ModelNotFound: Nothing is known of it where the wrong model is deadly.
    """
    dialect = context.dialect_for(options)
    info = context.names.get(name)
    if _must_look_up(info, dialect):
        with suppress(*(_UNTOLD if dialect.checks_tasks else _AWAY)):
            info = Loading(context, Inventory(context)).resolve(Wanted(name), options)
    if info is not None and not fits(info.task):
        raise ConfigError(
            f"{info.id} is a model for {info.task}, not for {purpose}",
            call=call,
            model=name,
            advice="Give model= of one that is: client.models.list() tells each one's task.",
        )


def _must_look_up(info: ModelInfo | None, dialect: Dialect) -> bool:
    if dialect.checks_tasks:
        return info is None and dialect.has("load_model")
    return info is None or not info.task

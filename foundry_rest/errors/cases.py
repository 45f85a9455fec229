"""The single cases of the kinds that ``tree`` defines and draws.

Most programs meet none of them, so this is imported with the first of these names.
"""

from __future__ import annotations

from foundry_rest.errors.advice import Advice, Words
from foundry_rest.errors.base import FoundryError
from foundry_rest.errors.tree import BadRequest, InvalidReply, ServerError, ServiceError, TransportError


class WorkerLost(TransportError):
    """A call whose worker ended, each time that it was tried; the call may have been made."""

    advice: str = Advice(
        "Look into the worker's own log: it may have run out of memory, or the request ends the service."
    )


class ExecutorBroken(TransportError):
    """An executor that runs no more tasks, or none of ours; a call that was under way has no result."""

    sent = False
    advice: str = Advice("Make a new executor and run the batch again: what has a result is not sent again.")


class AudioFileNotFound(BadRequest):
    """An audio file that does not exist on the service's machine."""


class ModelNotLoaded(BadRequest):
    """A model that is on disk but not in memory."""

    advice: str = Advice(
        Words(
            "Load it with client.models.load(name), or leave auto_load on.",
            "Load it with: foundry-rest load NAME.",
            runs="load",
        )
    )


class ModelNotCached(BadRequest):
    """A model that is in the catalog but not on disk."""

    advice: str = Advice(
        Words(
            "Download it first: client.models.download(name), or foundry model download NAME.",
            "Download it first: foundry-rest download NAME (2.x: with --embedded), then load it.",
            runs="download",
        )
    )


class UnsupportedParameter(BadRequest):
    """A parameter that this service refuses."""

    advice = "Leave the named parameter out."


class NotFound(ServiceError):
    """A 404 answer: the service has no such route or object."""

    advice: str = Advice(
        "Check the path.", Words("The service's generation is told by: foundry-rest health.", runs="health")
    )


class ModelNotFound(NotFound):
    """A model name that the service does not know; ``suggestions`` are similar names."""

    suggestions: tuple[str, ...] = ()
    advice: str = Advice(
        Words(
            "List the names it knows with client.models.list() or foundry-rest models.",
            "List its names with: foundry-rest models; chat and batch take one by --model (FOUNDRY_MODEL).",
            runs="models",
        )
    )


class ResponseNotFound(NotFound):
    """A stored response that the service does not have, or no longer has."""


class CatalogUnavailable(ServerError):
    """A service that cannot list its models because it cannot reach Microsoft's catalog."""

    advice = (
        "The service cannot reach Microsoft's catalog: check network, proxy and SSL_CERT_FILE where it runs."
    )


class InferenceFailed(ServerError):
    """A failure of the generation itself inside the service."""


class ToolCallFailed(InferenceFailed):
    """An invalid tool call by the model: the service is healthy, and another try may succeed."""


class LoadFailed(ServerError):
    """A model that could not be loaded or unloaded."""

    advice = "Check free memory and the model's files; a running answer keeps its model loaded."


class ModelInUse(LoadFailed):
    """A model that cannot be unloaded because an answer or a stored response uses it."""

    advice: str = Advice(
        Words(
            "Wait until the answers that use it have ended; client.responses.delete(id) frees a stored one.",
            "Wait until the answers that use it have ended.",
        )
    )


class InvalidMember(InvalidReply):
    """An answer of the right form in which one member cannot be read, ``where`` names it."""

    advice = "Another version of the server, or another server for the model, may write it as OpenAI does."

    @classmethod
    def of(cls, error: InvalidReply, member: str) -> InvalidMember:
        """Return the error of an answer in which ``error`` was found in one member."""
        where = f"$.{member}{error.where[1:]}"
        what = error.message.removeprefix("unreadable answer: ").removeprefix(f"{error.where} is ")
        return cls(f"unreadable answer: {where} is wrong: {what}", where=where, body=error.body)


class ToolLoopExceeded(FoundryError):
    """A model that still asks for tools after ``turns`` answers, the bound.

    ``messages`` is the conversation up to the last results: ``run_tools(error.messages, ...)`` continues it.
    """

    turns: int = 0
    messages: tuple[object, ...] = ()
    advice: str = Advice(Words("Give a larger max_turns, or go on from error.messages.", ""))

"""Embeddings: the checked request, and the vectors that come back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from foundry_rest.errors import ConfigError, FoundryError
from foundry_rest.schema.chat import Usage
from foundry_rest.schema.request import check_json, check_model_name
from foundry_rest.values import Value


class EmbeddingRequest(msgspec.Struct, frozen=True):
    """One checked request for embeddings.

    Attributes:
        model: Alias or id, as the caller gave it.
        texts: The texts to embed, one vector for each.
        id: Name that is sent to the service: the exact id when it is known, else ``model``.
    """

    model: str
    texts: list[str]
    id: str


class Match(Value, msgspec.Struct, frozen=True):
    """A text that is near to a query.

    Attributes:
        index: Its index in the input.
        score: Cosine of its vector and the query's: 1 for the same direction, 0 for none in common.
    """

    index: int
    score: float


class EmbeddingReply(Value, msgspec.Struct, frozen=True, kw_only=True):
    """The vectors of some texts.

    Attributes:
        vectors: One for each text, in the order of the texts; all of one length, but empty for a text that
            failed.
        failed: The texts that failed, by their index, with their errors; only with ``on_error="skip"``.
        model: Exact id of the model that made them.
        usage: Token counts; zeros when the service counts none, as on 2.2.1.
        elapsed: Seconds from the start of the call to its last byte, retries included.
        headers: HTTP headers of the last response, case-insensitive.
        cached: All of them came from the client's cache, not from the service now.
        stale_for: Seconds since the first of them expired there, when the service's circuit is open; else
            0.0.
    """

    vectors: list[list[float]]
    failed: dict[int, FoundryError] = {}
    model: str = ""
    usage: Usage = Usage()
    elapsed: float = 0.0
    headers: Mapping[str, str] = {}
    cached: bool = False
    stale_for: float = 0.0

    @property
    def vector(self) -> list[float]:
        """Return the first vector, the only one for a single text."""
        return self.vectors[0]

    def top(self, query: Sequence[float] | EmbeddingReply, k: int = 5) -> list[Match]:
        """Return the ``k`` texts that are nearest to a vector by their cosine, the nearest first.

        numpy does it where it is installed, Python itself elsewhere, in the same order. Of equally near ones
        the earlier text comes first; those that failed are left out.

        Args:
            query: A vector, or the reply whose first vector it is.
            k: How many at most.

        Raises:
            ConfigError: The vectors are of another length, or ``k`` is no whole number above 0.
        """
        from foundry_rest.schema.similarity import nearest

        return nearest(self.vectors, query.vector if isinstance(query, EmbeddingReply) else query, k)


def build_embedding_request(
    texts: str | Iterable[str], *, model: str, model_id: str | None = None
) -> EmbeddingRequest:
    """Return the checked request for one text or several.

    Args:
        texts: One text or an iterable of texts, which is read once; an empty text has a vector, too.
        model: Alias or id.
        model_id: Exact id, when it is known.

    Raises:
        ConfigError: There is no text, or one of them cannot be sent.
    """
    check_model_name(model)
    given = _text_list(texts)
    if not given:
        raise ConfigError("input holds no text: there is nothing to embed")
    for index, text in enumerate(given):
        if not isinstance(text, str):
            raise ConfigError(f"input[{index}] must be text, not {type(text).__name__}")
    check_json(given, "input")
    return EmbeddingRequest(model, given, model_id or model)


def _text_list(texts: object) -> list[str]:
    if isinstance(texts, str):
        return [texts]
    if isinstance(texts, Iterable) and not isinstance(texts, (bytes, bytearray, memoryview, Mapping)):
        return list(texts)
    raise ConfigError(f"input must be text or several texts, not {type(texts).__name__}")

"""Embeddings: what is asked, and the vectors that come back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from foundry_rest.errors import ConfigError
from foundry_rest.schema.chat import Usage
from foundry_rest.schema.request import check_json, check_model_name


class EmbeddingRequest(msgspec.Struct, frozen=True):
    """Hold one checked request for vectors.

    Attributes:
        model: Name as the caller gave it, alias or id.
        texts: One vector is asked for each.
        id: What the service is asked for: the exact id when it is known, else ``model``.
    """

    model: str
    texts: list[str]
    id: str


class EmbeddingReply(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the vectors of some texts.

    Attributes:
        vectors: One a text, in the order of the texts; all of one length.
        model: Exact model id that answered.
        usage: Token counts; zeros when the service counts none, as 2.2.1 does.
        elapsed: Seconds from the start of the call to its last byte, retries included.
        headers: The last answer's HTTP headers, case-insensitive.
    """

    vectors: list[list[float]]
    model: str = ""
    usage: Usage = Usage()
    elapsed: float = 0.0
    headers: Mapping[str, str] = {}

    @property
    def vector(self) -> list[float]:
        """Return the first vector: that of a single text."""
        return self.vectors[0]


def build_embedding_request(
    texts: str | Iterable[str], *, model: str, model_id: str | None = None
) -> EmbeddingRequest:
    """Return the checked request for one text or several; an iterator is read once.

    Args:
        texts: A text, or several; an empty one has a vector, too.
        model: Alias or id.
        model_id: Exact id, when it is known.

    Raises:
        ConfigError: There is no text, or one cannot be sent.
    """
    check_model_name(model)
    given = _listed(texts)
    if not given:
        raise ConfigError("input holds no text: there is nothing to embed")
    for place, text in enumerate(given):
        if not isinstance(text, str):
            raise ConfigError(f"input[{place}] must be text, not {type(text).__name__}")
    check_json(given, "input")
    return EmbeddingRequest(model, given, model_id or model)


def _listed(texts: object) -> list[str]:
    if isinstance(texts, str):
        return [texts]
    if isinstance(texts, Iterable) and not isinstance(texts, (bytes, bytearray, memoryview, Mapping)):
        return list(texts)
    raise ConfigError(f"input must be text or several texts, not {type(texts).__name__}")

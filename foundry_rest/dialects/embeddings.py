"""Parse and verify the vectors of ``/v1/embeddings``.

A vector at the wrong index does not look wrong: it only finds the wrong documents later. So a response is
valid only when it holds one vector for each text, each at its own index, all of one length, of finite
numbers.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Sequence

import msgspec

from foundry_rest.errors import FoundryError, InvalidReply
from foundry_rest.schema.chat import Usage
from foundry_rest.schema.embeddings import EmbeddingReply
from foundry_rest.transport.call import Reply
from foundry_rest.transport.json_codec import decode_answer


class _Item(msgspec.Struct):
    index: int
    #: Numbers, or base64 of little-endian float32, which some services send without being asked.
    embedding: list[float] | str


class _Response(msgspec.Struct):
    data: list[_Item]
    model: str | None = None
    usage: Usage | None = None


def parse_embeddings(reply: Reply, count: int) -> EmbeddingReply:
    """Parse the vectors of ``count`` texts, which may come in any order.

    Raises:
        InvalidReply: A vector is missing, repeated, of another length, or not of finite numbers.
    """
    response = decode_answer(reply.body, _Response, reply.url)
    vectors: dict[int, list[float]] = {}
    for position, item in enumerate(response.data):
        if item.index in vectors or not 0 <= item.index < count:
            raise _invalid(f"index {item.index} is not expected there", f"$.data[{position}].index", reply)
        vectors[item.index] = _numbers(item.embedding, f"$.data[{position}].embedding", reply)
    if len(vectors) != count:
        raise _invalid(f"{len(vectors)} vectors came for {count} texts", "$.data", reply)
    ordered = [vectors[index] for index in range(count)]
    _check_lengths(ordered, reply)
    return EmbeddingReply(
        vectors=ordered,
        model=response.model or "",
        usage=response.usage or Usage(),
        elapsed=reply.elapsed,
        headers=reply.headers,
        cached=reply.cached,
        stale_for=reply.stale_for,
    )


def join_batches(batches: Sequence[EmbeddingReply], elapsed: float) -> EmbeddingReply:
    """Return the replies to the batches of one input as one.

    Raises:
        InvalidReply: Their vectors differ in length, so another model made some of them.
    """
    vectors = [vector for batch in batches for vector in batch.vectors]
    if len({len(vector) for vector in vectors if vector}) > 1:
        raise InvalidReply("the vectors of two batches differ in length: another model answered in between")
    usages = [batch.usage for batch in batches]
    last, start = batches[-1], 0
    failed: dict[int, FoundryError] = {}
    for batch in batches:
        failed |= {start + index: error for index, error in batch.failed.items()}
        start += len(batch.vectors)
    usage = Usage(
        sum(each.prompt_tokens for each in usages),
        sum(each.completion_tokens for each in usages),
        sum(each.total_tokens for each in usages),
    )
    return msgspec.structs.replace(
        last,
        vectors=vectors,
        failed=failed,
        model=next((batch.model for batch in reversed(batches) if batch.model), ""),
        usage=usage,
        elapsed=elapsed,
        cached=all(each.cached for each in batches),
        stale_for=max(each.stale_for for each in batches),
    )


def _numbers(given: list[float] | str, where: str, reply: Reply) -> list[float]:
    numbers = given if isinstance(given, list) else _decode_base64(given, where, reply)
    if not numbers or not all(map(math.isfinite, numbers)):
        raise _invalid("a vector is empty or holds what is no finite number", where, reply)
    return numbers


def _decode_base64(text: str, where: str, reply: Reply) -> list[float]:
    try:
        packed = base64.b64decode(text, validate=True)
        return list(struct.unpack(f"<{len(packed) // 4}f", packed))
    except (ValueError, struct.error):
        raise _invalid("a vector is neither numbers nor base64 of float32", where, reply) from None


def _check_lengths(vectors: Sequence[Sequence[float]], reply: Reply) -> None:
    lengths = sorted({len(vector) for vector in vectors})
    if len(lengths) > 1:
        raise _invalid(f"the vectors differ in length: {lengths[0]} and {lengths[-1]}", "$.data", reply)


def _invalid(what: str, where: str, reply: Reply) -> InvalidReply:
    return InvalidReply(f"unreadable answer: {what}", where=where, body=reply.body[:2048], url=reply.url)

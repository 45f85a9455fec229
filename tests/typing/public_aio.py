"""Uses of ``foundry_rest.aio`` as a user writes them; `mypy --strict` reads this file, nothing runs it."""

from __future__ import annotations

import msgspec

from foundry_rest import CancelToken, ChatChunk, ChatReply, EmbeddingReply, FoundryAPIClient, ModelInfo, aio


class City(msgspec.Struct):
    """A type to answer with."""

    name: str


async def answers(client: FoundryAPIClient) -> None:
    """Await answers of each kind."""
    reply: ChatReply = await aio.complete(client, "Hi", model="demo", temperature=0, cancel=CancelToken())
    listed: ChatReply = await aio.complete(client, messages=[{"role": "user", "content": "Hi"}])
    city: City = await aio.complete(client, "Which city?", system="Be brief.", response_model=City)
    value, reply = await aio.complete(client, "Which?", response_model=City, with_reply=True)
    same: City = value
    text: str = reply.content
    checked: City = await aio.complete(client, "Which?", response_model=City, validate=print, max_reasks=1)
    models: list[ModelInfo] = await aio.call(client.models.loaded, deadline=2)
    vectors: EmbeddingReply = await aio.call(client.embeddings.create, ["a"])
    await aio.complete(client, "Hi", temprature=0)  # type: ignore[call-overload]
    assert all((reply, listed, city, models, vectors))


async def streams(client: FoundryAPIClient) -> None:
    """Read streams of each kind."""
    async for chunk in aio.stream(client, "Hi", max_tokens=5):
        piece: ChatChunk = chunk
        assert piece is chunk
    async for event in await aio.sse(client, "Hi").opened():
        data: bytes = event
        assert data

"""Uses of the public API as a user writes them; `mypy --strict` reads this file, nothing runs it.

Every result is assigned to a variable with a type, so that a type that becomes wider, or `Any`, or another
one is an error here before it is one in a user's code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TypedDict

import msgspec
import requests

from foundry_rest import (
    BadRequest,
    CacheStats,
    ChatReply,
    CircuitOpen,
    ConfigError,
    DeadlineExceeded,
    FoundryAPIClient,
    FoundryError,
    ModelInfo,
    ResponseCache,
    ServiceError,
    ServiceNotFound,
    ServiceTimeout,
    ServiceUnreachable,
    StreamInterrupted,
    Timeouts,
    TransportError,
    Typed,
    UnsupportedByService,
)
from foundry_rest.schema.tools import Tool, tool_message

client: FoundryAPIClient = FoundryAPIClient()


def constructors() -> None:
    with FoundryAPIClient() as found:
        same: FoundryAPIClient = found
    same.close()
    FoundryAPIClient("http://127.0.0.1:5273", model="phi-4-mini", api_key="key")
    FoundryAPIClient(cache="answers.sqlite")
    FoundryAPIClient(cache=Path("answers.sqlite"))
    FoundryAPIClient(cache=ResponseCache("answers.sqlite", max_bytes=2**20, max_age=60, serve_stale=5))
    FoundryAPIClient(timeout=10, deadline=60.5, retries=0)
    FoundryAPIClient(max_concurrency="auto")
    FoundryAPIClient(max_concurrency="many")  # type: ignore[arg-type]
    FoundryAPIClient(timeout=Timeouts(connect=1, first_token=120))


def caching() -> None:
    cache = ResponseCache(Path("answers.sqlite"), namespace="me")
    reply = client.complete("Hi", temperature=0, cache=60.5)
    is_hit: bool = reply.cached
    seconds: float = reply.stale_for
    with client.chat.stream("Hi", cache=True) as stream:
        is_hit = stream.cached
    is_hit = client.embeddings.create("Hi", cache=False).cached
    is_hit = client.responses.create("Hi", cache=None).cached
    figures: CacheStats = cache.stats()
    hits: dict[str, dict[str, int]] = figures.by_model
    removed: int = cache.clear(older_than=60)


def prompt_by_name() -> None:
    text: str = client.complete(prompt="Hello", model="phi-4-mini", max_tokens=500).content
    brief: str = client.complete("Hello", system="Be brief.").content
    piece: str = next(client.stream_complete("Hello", system="Be brief.")).content
    named: _Person = client.complete("Who?", system="Be brief.", response_model=_Person)
    pieces: list[str] = [
        chunk.content for chunk in client.stream_complete(prompt="Hello", model="phi-4-mini")
    ]
    conversation = [{"role": "user", "content": "Hello"}]
    same: str = client.complete(messages=conversation, lane="batch").content
    whole: str = client.chat.complete(messages=conversation).content
    number: int = client.chat.complete(prompt="How many?", response_model=int)


def one_prompt() -> None:
    reply = client.complete("Explain quantum computing", model="phi-4-mini", max_tokens=500)
    text: str = reply.content
    total: int = reply.usage.total_tokens
    finished: str | None = reply.finish_reason
    seconds: float = reply.elapsed
    headers: Mapping[str, str] = reply.headers
    raw: object = reply.raw


def streams() -> None:
    for chunk in client.stream_complete("Write a story about AI"):
        text: str = chunk.content
    with client.chat.stream([{"role": "user", "content": "Hello"}], temperature=0.2) as stream:
        contents: list[str] = [chunk.content for chunk in stream]
    gathered: str = client.stream_complete("Hello").gather().content
    stream.close()


def conversations() -> None:
    messages: list[dict[str, object]] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
    ]
    tool: dict[str, object] = {"type": "function", "function": {"name": "now"}}
    reply = client.chat.complete(messages, model="phi-4-mini", tools=[tool], seed=1)
    names: list[str | None] = [call.function.name for call in reply.tool_calls if call.function]
    shaped: str = client.chat.complete(messages, response_format={"type": "json_object"}).content


def models() -> None:
    catalog = client.models.catalog()
    ids: list[str] = [model.id for model in catalog]
    aliases: set[str] = {model.alias for model in client.models.cached()}
    sizes: list[int | None] = [model.size for model in client.models.loaded()]
    client.models.load("phi-4-mini")
    client.models.ensure_loaded("phi-4-mini")
    client.models.ensure_loaded(
        "phi-4-mini", download=True, device="CPU", progress=lambda step: (step.phase, step.percent)
    )
    client.models.download("phi-4-mini", progress=True)
    client.models.unload("phi-4-mini")


def health() -> None:
    report = client.health_check()
    status: str = report.status
    loaded: Sequence[str] = report.loaded_models
    memory: int | None = report.memory_usage
    again: str = client.health.check().status
    alive: bool = client.health.is_alive()
    client.health.wait_until_ready(30)


def figures() -> None:
    stats = client.stats()
    calls: int = stats.total.calls
    slow: float = stats.total.p95
    first: float | None = stats.by_call["chat.complete"].first_token_p50


def views() -> None:
    patient: FoundryAPIClient = client.with_options(timeout=300, retries=0, model="phi-4")
    text: str = patient.complete("Hello").content


def plain_requests() -> None:
    reply = client.request("GET", "/status")
    status: int = reply.status
    body: object = reply.raw
    length: int = client.request(
        "POST", "/v1/tokens", json={"text": "a"}, parse=lambda answer: len(answer.body)
    )


def parsed_by_the_caller() -> None:
    lines: list[bytes] = client.chat.complete("Hello", parse=lambda answer: answer.body.splitlines())


class _Person(msgspec.Struct):
    name: str
    age: int


class _Place(TypedDict):
    city: str


def answers_of_a_type() -> None:
    person: _Person = client.chat.complete("Who?", response_model=_Person, max_reasks=1, temperature=0)
    people: list[_Person] = client.chat.complete("Who?", response_model=list[_Person])
    place: _Place = client.chat.complete("Where?", response_model=_Place)
    yes: bool = client.chat.complete("Well?", response_model=bool)
    checked: _Person = client.complete("Who?", response_model=_Person, validate=lambda one: one.age)
    plain: ChatReply = client.complete("Who?", validate=lambda reply: reply.content.index("a"), max_reasks=1)
    pair: Typed[_Person] = client.chat.complete("Who?", response_model=_Person, with_reply=True)
    value, reply = client.complete("Who?", response_model=_Person, with_reply=True, fallback_models=["b"])
    same: _Person = value
    answered_by: str | None = reply.model
    whole: ChatReply = client.chat.complete("Who?", fallback_models=("b", "c"), load_fallbacks=True)


def add(a: int, b: int) -> int:
    return a + b


def tools() -> None:
    run = client.chat.run_tools("What is 1 + 2?", functions=[add], max_turns=3, tool_choice="required")
    client.chat.run_tools("What is 1 + 2?", functions=[add], approve=lambda call: call.name != "rm" or "no")
    text: str = run.reply.content
    results: list[object] = [made.result for made in run.calls]
    reply = client.chat.complete("What is 1 + 2?", tools=[add, {"type": "function"}])
    messages: list[dict[str, object]] = [reply.message]
    for call in reply.tool_calls:
        loose: dict[str, object] = call.parse()
        strict: _Place = call.parse(_Place)
        messages.append(tool_message(call, strict["city"]))
    described: dict[str, object] = Tool.of(add).spec
    tokens: int = client.chat.count_tokens("Hello")


def embeddings_and_audio() -> None:
    vectors: list[list[float]] = client.embeddings.create(["a", "b"], model="m").vectors
    one: list[float] = client.embeddings.create("a").vector
    text: str = client.audio.transcribe("talk.wav", model="whisper", language="en").text
    with client.audio.transcribe_stream(Path("talk.wav")) as pieces:
        parts: list[str] = [piece.text for piece in pieces]


def responses() -> None:
    first = client.responses.create("Hello", store=True, max_output_tokens=20)
    again = client.responses.create([{"role": "user", "content": "More"}], previous_response_id=first.id)
    text: str = again.output_text
    for event in client.responses.stream("Hello"):
        delta: str = event.content
    ids: list[str] = [each.id for each in client.responses.list(limit=5)]
    client.responses.delete(first.id)


def _length(client: FoundryAPIClient, prompt: str) -> int:
    return len(client.complete(prompt).content)


def executors(pool: Executor) -> None:
    texts: list[str] = [each.custom_id for each in client.batch(["a"], executor=pool, max_concurrency=8)]
    length: int = client.workers(pool).call(_length, "Hello", deadline=5)


def managed_models() -> None:
    info: ModelInfo = client.models.load("phi-4-mini", ttl=600, device="CPU")
    client.models.unload(info.id, force=False)
    dropped: list[str] = client.models.unload_all()
    removed: ModelInfo = client.models.remove("phi-4-mini")
    fetched: ModelInfo = client.models.download("phi-4-mini", progress=lambda step: step.fraction)
    started = FoundryAPIClient(auto_start=True)


def mistakes() -> None:
    # mypy warns of an ignore that is not needed, so each of these lines must be an error.
    client.complete("Hello", max_tokens="many")  # type: ignore[call-overload]
    client.complete("Hello", max_token=1)  # type: ignore[call-overload]
    client.with_options(retries="three")  # type: ignore[arg-type]
    client.models.load(3)  # type: ignore[arg-type]
    client.chat.stream("Hello", response_model=_Person)  # type: ignore[call-arg]
    client.chat.complete("Hello", parse=len, response_model=_Person)  # type: ignore[call-overload]
    client.chat.run_tools("Hello")  # type: ignore[call-arg]
    client.chat.complete("Hello", with_reply=True)  # type: ignore[call-overload]
    client.complete("Hello", response_model=_Person, validate=str.upper)  # type: ignore[arg-type]
    client.chat.stream("Hello", fallback_models=["b"])  # type: ignore[call-arg]
    FoundryAPIClient("http://127.0.0.1:5273", "phi-4-mini")  # type: ignore[call-arg]
    client.health_check().status = "well"  # type: ignore[misc]
    client.batch(["a"], executor="dask")  # type: ignore[arg-type]


def errors() -> None:
    try:
        client.complete("Hello")
    except CircuitOpen as error:
        wait: float = error.retry_in
    except StreamInterrupted as error:
        text: str = error.text
    except ServiceTimeout as error:
        phase: str = error.phase
    except BadRequest as error:
        code: str | None = error.code
    except ServiceError as error:
        status: int | None = error.status
        after: float | None = error.retry_after
    except FoundryError as error:
        tries: int = len(error.attempts)


def errors_of_legacy_code() -> None:
    refused: type[requests.ConnectionError] = ServiceUnreachable
    silent: type[requests.Timeout] = ServiceTimeout
    told: type[requests.HTTPError] = ServiceError
    lost: list[type[requests.RequestException]] = [TransportError, ServiceNotFound]
    mistaken: type[ValueError] = ConfigError
    late: type[TimeoutError] = DeadlineExceeded
    missing: type[FoundryError] = UnsupportedByService

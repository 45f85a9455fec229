"""A way to every error of the package, through the product and a real server: one function for each class."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from foundry_rest import (
    BreakerPolicy,
    CancelToken,
    FoundryAPIClient,
    FoundryError,
    RetryPolicy,
    Timeouts,
)
from foundry_rest.testing import (
    DEMO_MODEL,
    FaultServer,
    Script,
    answer,
    chat_completion,
    chat_stream,
    context_exceeded,
    cut,
    dead_address,
    inference_failed,
    json_answer,
    json_error,
    model_not_cached,
    model_not_loaded,
    stall,
    too_many,
    unavailable,
)
from support.executors import HereExecutor, KilledWorker, RefusingExecutor

CHAT = "/v1/chat/completions"
#: What differs between two runs or two machines: ports, durations, and where the registry file is.
CHANGING = re.compile(r"(?<=:)\d{4,5}\b|\b\d+(?:\.\d+)?(?= s\b)|(?<=registry file ).*?(?= \(none\))")
QUICK = Timeouts(1, 0.05, 0.05)
#: The default number of tries, without the waits.
TRIES = RetryPolicy(base=0.001, floor=0.001)


def steady(text: str) -> str:
    """Return a text in which what differs from run to run is the same."""
    return CHANGING.sub("N", text)


@contextmanager
def answering(*scripts: Script, path: str = CHAT, method: str = "POST", **options) -> Iterator:
    """Yield a client of a server that gives these answers."""
    with FaultServer() as server:
        if scripts:
            server.on(method, path, *scripts)
        with FoundryAPIClient(
            server.url, **{"model": DEMO_MODEL, "retries": 0, "auto_load": False, "dialect": "2.x", **options}
        ) as client:
            yield client


def asks(*scripts: Script, **options) -> Callable[[], None]:
    """Return a function that asks a question of such a server."""

    def ask() -> None:
        with answering(*scripts, **options) as client:
            client.complete("Say OK")

    return ask


def calls(call: Callable[[FoundryAPIClient], object], *scripts: Script, **options) -> Callable[[], None]:
    """Return a function that makes a call at such a server."""

    def make() -> None:
        with answering(*scripts, **options) as client:
            call(client)

    return make


def config_error() -> None:
    """Give a number that cannot be one."""
    FoundryAPIClient(deadline=-5)


def not_found() -> None:
    """Look for a service where there is none."""
    with FoundryAPIClient() as client:
        client.complete("Say OK")


def unreachable() -> None:
    """Ask where nobody listens."""
    with dead_address() as url, FoundryAPIClient(url, retries=TRIES) as client:
        client.complete("Say OK")


def circuit_open() -> None:
    """Ask again after the first failure, where one is enough."""
    with answering(unavailable(), unavailable(), breaker=BreakerPolicy(failures=1)) as client:
        with contextlib.suppress(FoundryError):
            client.complete("Say OK")
        client.complete("Say OK")


def cancelled() -> None:
    """Ask with a token that somebody has cancelled."""
    token = CancelToken()
    token.cancel()
    with answering(chat_stream()) as client:
        client.complete("Say OK", cancel=token)


def model_in_use() -> None:
    """Unload what the service holds on to."""
    with FaultServer() as server, FoundryAPIClient(server.url, retries=0) as client:
        server.on(
            "GET",
            f"/models/unload/{DEMO_MODEL}",
            json_error(
                500, "Unload failed: Failed to unload model: Cannot unload: 1 session(s) still using it"
            ),
        )
        client.models.unload(DEMO_MODEL)


def worker_lost() -> None:
    """Make a call whose worker is killed each time."""
    with answering(chat_stream()) as client:
        executor = HereExecutor(*[KilledWorker("worker died")] * 9)
        for result in client.batch(["Say OK"], executor=executor):
            if result.error is not None:
                raise result.error


def executor_broken() -> None:
    """Give a call to an executor that takes none."""
    with answering(chat_stream()) as client:
        refusing = RefusingExecutor(RuntimeError("cannot schedule new futures after shutdown"))
        for result in client.batch(["Say OK"], executor=refusing):
            if result.error is not None:
                raise result.error


def tool_loop() -> None:
    """Ask a model that asks for its tool for ever."""

    def look() -> str:
        """Look."""
        return "nothing"

    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    again = chat_completion("", finish="tool_calls", tool_calls=[call])
    with answering(again, dialect="openai") as client:
        client.chat.run_tools("Look", functions=[look], max_turns=2)


#: A chat answer in which one member is of another type.
ODD_MEMBER = json_answer({"choices": [{"message": {"role": "assistant", "content": 5}}]})
GATEWAY = json_error(401, "Missing or invalid API key")

#: Class -> how it comes about.
TROUBLES: dict[str, Callable[[], None]] = {
    "ConfigError": config_error,
    "UnknownArgument": calls(lambda client: client.complete("Say OK", temprature=0)),
    "UnsupportedByService": calls(
        lambda client: client.audio.transcribe(__file__, model="whisper-tiny"), dialect="1.x"
    ),
    "CircuitOpen": circuit_open,
    "DeadlineExceeded": asks(chat_stream("one two three")[:4] + stall(), deadline=0.2),
    "Cancelled": cancelled,
    "ServiceNotFound": not_found,
    "ServiceUnreachable": unreachable,
    "ServiceTimeout": asks(stall(), timeout=QUICK),
    "StreamInterrupted": asks(chat_stream("one two three")[:4] + cut()),
    "WorkerLost": worker_lost,
    "ExecutorBroken": executor_broken,
    "BadRequest": asks(json_error(400, "Invalid JSON: parse error at line 1, column 2")),
    "AudioFileNotFound": calls(
        lambda client: client.audio.transcribe(__file__, model="whisper-tiny"),
        json_error(400, "Audio file not found: /data/talk.wav"),
        path="/v1/audio/transcriptions",
    ),
    "ContextLengthExceeded": asks(context_exceeded()),
    "ModelNotLoaded": asks(model_not_loaded("phi-4-mini-instruct-generic-cpu:5")),
    "ModelNotCached": asks(model_not_cached()),
    "UnsupportedParameter": asks(
        json_error(
            400, "Unsupported parameter: nonzero frequency_penalty and presence_penalty are not supported"
        )
    ),
    "AuthenticationError": asks(GATEWAY),
    "NotFound": calls(lambda client: client.request("GET", "/v2/nothing")),
    "ModelNotFound": calls(lambda client: client.complete("Say OK", model="demu")),
    "ResponseNotFound": calls(
        lambda client: client.responses.get("resp_1"),
        json_error(404, "The response 'resp_1' does not exist."),
        path="/v1/responses/resp_1",
        method="GET",
    ),
    "TooManyRequests": asks(too_many(2)),
    "ServerError": asks(unavailable()),
    "CatalogUnavailable": calls(
        lambda client: client.models.list(),
        json_error(500, "Failed to retrieve model list"),
        path="/v1/models",
        method="GET",
    ),
    "InferenceFailed": asks(inference_failed()),
    "ToolCallFailed": asks(
        json_error(500, "Model emitted an invalid tool call: Tool-call output was interrupted")
    ),
    "LoadFailed": calls(
        lambda client: client.models.load(DEMO_MODEL),
        json_error(500, "Load failed: genai_config.json not found (errno 2)"),
        path=f"/models/load/{DEMO_MODEL}",
        method="GET",
    ),
    "ModelInUse": model_in_use,
    "InvalidReply": asks(answer(200, "<html><body>Log in</body></html>", content_type="text/html")),
    "InvalidMember": asks(ODD_MEMBER, dialect="openai"),
    "ToolLoopExceeded": tool_loop,
}


def error_of(trouble: Callable[[], None]) -> FoundryError | None:
    """Return the error that one of them ends in."""
    try:
        trouble()
    except FoundryError as error:
        return error
    return None

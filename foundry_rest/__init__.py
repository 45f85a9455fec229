"""foundry_rest: a synchronous client for Microsoft Foundry Local.

The public names are those in this module and in ``aio``, ``errors``, ``events``, ``runtime`` and
``testing``. Each is imported at its first use, so that a command such as ``foundry-rest --help`` does not pay
for requests.

The route of one call, ``client.complete("Hello")``; ``tools/route.py`` prints it function by function::

    client/endpoints.py              FoundryAPIClient.complete
    endpoints/completions.py         split the options from the parameters, build the request
      schema/request.py, messages.py check both (pure)
    services/context.py              Context.ask(build), or Context.open(kind, build) for a stream
      cache/sender.py                with cache= alone: a kept answer, or that of an equal call under way
      resilience/sender.py           for each attempt: slot (slot_lease.py), circuit breaker (breaker/)
        services/target.py           the address, its dialect, the learned model ids
        dialects/openai.py           build(target) -> Operation: the call, and the parser of its reply (pure)
        transport/session/           SessionTransport.send(call, target) -> Reply, or one of our errors
      resilience/sender.py           on an error: report, recover once (models/recoveries.py), retry or raise
    services/context.py              Operation.parse(reply) -> ChatReply (pure), returned to the caller
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers read it as true; `typing` costs a tenth of ``foundry-rest --help``
if TYPE_CHECKING:
    from foundry_rest.cache import CacheStats, ResponseCache
    from foundry_rest.client.client import FoundryAPIClient
    from foundry_rest.config import Config, from_env
    from foundry_rest.errors import (
        AudioFileNotFound,
        AuthenticationError,
        BadRequest,
        Cancelled,
        CatalogUnavailable,
        CircuitOpen,
        ConfigError,
        ContextLengthExceeded,
        DeadlineExceeded,
        ExecutorBroken,
        FoundryError,
        InferenceFailed,
        InvalidMember,
        InvalidReply,
        LoadFailed,
        ModelInUse,
        ModelNotCached,
        ModelNotFound,
        ModelNotLoaded,
        NotFound,
        ResponseNotFound,
        ServerError,
        ServiceError,
        ServiceNotFound,
        ServiceTimeout,
        ServiceUnreachable,
        StreamInterrupted,
        ToolCallFailed,
        ToolLoopExceeded,
        TooManyRequests,
        TransportError,
        UnknownArgument,
        UnsupportedByService,
        UnsupportedParameter,
        WorkerLost,
    )
    from foundry_rest.observe.log import configure_logging
    from foundry_rest.resilience.breaker.policy import BreakerPolicy
    from foundry_rest.resilience.breaker.storage.redis import RedisBreakers
    from foundry_rest.resilience.breaker.storage.sqlite import SqliteBreakers
    from foundry_rest.resilience.retry import RetryPolicy
    from foundry_rest.runtime import LocalRuntime
    from foundry_rest.schema import (
        ChatChunk,
        ChatReply,
        DownloadStep,
        HealthReport,
        ModelInfo,
        ToolCall,
        Usage,
    )
    from foundry_rest.schema.audio import Transcription, TranscriptionChunk
    from foundry_rest.schema.batch import BatchRequest, BatchResult
    from foundry_rest.schema.embeddings import EmbeddingReply
    from foundry_rest.schema.responses import InputItem, OutputItem, Response, ResponseEvent, ResponsePage
    from foundry_rest.schema.service_facts import ServiceFacts
    from foundry_rest.schema.service_state import ServiceState
    from foundry_rest.schema.stats import Stats
    from foundry_rest.schema.tools import CallMade, Tool, ToolRun, tool_message
    from foundry_rest.schema.typed import Typed
    from foundry_rest.services.service_spec import ServiceSpec
    from foundry_rest.stream.chat import ChatStream
    from foundry_rest.stream.responses import ResponseStream
    from foundry_rest.stream.transcription import TranscriptionStream
    from foundry_rest.timeouts import Timeouts
    from foundry_rest.transport.call import Replay, Reply
    from foundry_rest.transport.cancellation import CancelToken

_HOME = {
    "cache": ("CacheStats", "ResponseCache"),
    "client.client": ("FoundryAPIClient",),
    "config": ("Config", "from_env"),
    "errors": (
        "AudioFileNotFound",
        "AuthenticationError",
        "BadRequest",
        "Cancelled",
        "CatalogUnavailable",
        "CircuitOpen",
        "ConfigError",
        "ContextLengthExceeded",
        "DeadlineExceeded",
        "ExecutorBroken",
        "FoundryError",
        "InferenceFailed",
        "InvalidMember",
        "InvalidReply",
        "LoadFailed",
        "ModelInUse",
        "ModelNotCached",
        "ModelNotFound",
        "ModelNotLoaded",
        "NotFound",
        "ResponseNotFound",
        "ServerError",
        "ServiceError",
        "ServiceNotFound",
        "ServiceTimeout",
        "ServiceUnreachable",
        "StreamInterrupted",
        "TooManyRequests",
        "ToolCallFailed",
        "ToolLoopExceeded",
        "TransportError",
        "UnknownArgument",
        "UnsupportedByService",
        "UnsupportedParameter",
        "WorkerLost",
    ),
    "observe.log": ("configure_logging",),
    "resilience.breaker.policy": ("BreakerPolicy",),
    "resilience.breaker.storage.redis": ("RedisBreakers",),
    "resilience.breaker.storage.sqlite": ("SqliteBreakers",),
    "resilience.retry": ("RetryPolicy",),
    "runtime": ("LocalRuntime",),
    "schema": (
        "ChatChunk",
        "ChatReply",
        "DownloadStep",
        "HealthReport",
        "ModelInfo",
        "ToolCall",
        "Usage",
    ),
    "schema.batch": ("BatchRequest", "BatchResult"),
    "schema.audio": ("Transcription", "TranscriptionChunk"),
    "schema.embeddings": ("EmbeddingReply",),
    "schema.responses": ("InputItem", "OutputItem", "Response", "ResponseEvent", "ResponsePage"),
    "schema.service_facts": ("ServiceFacts",),
    "schema.service_state": ("ServiceState",),
    "schema.stats": ("Stats",),
    "schema.tools": ("CallMade", "Tool", "ToolRun", "tool_message"),
    "schema.typed": ("Typed",),
    "services.service_spec": ("ServiceSpec",),
    "stream.chat": ("ChatStream",),
    "stream.responses": ("ResponseStream",),
    "stream.transcription": ("TranscriptionStream",),
    "timeouts": ("Timeouts",),
    "transport.call": ("Replay", "Reply"),
    "transport.cancellation": ("CancelToken",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__version__ = "0.1.0"
__all__ = [
    "AudioFileNotFound",
    "AuthenticationError",
    "BadRequest",
    "BatchRequest",
    "BatchResult",
    "BreakerPolicy",
    "CacheStats",
    "CallMade",
    "CancelToken",
    "Cancelled",
    "CatalogUnavailable",
    "ChatChunk",
    "ChatReply",
    "ChatStream",
    "CircuitOpen",
    "Config",
    "ConfigError",
    "ContextLengthExceeded",
    "DeadlineExceeded",
    "DownloadStep",
    "EmbeddingReply",
    "ExecutorBroken",
    "FoundryAPIClient",
    "FoundryError",
    "HealthReport",
    "InferenceFailed",
    "InputItem",
    "InvalidMember",
    "InvalidReply",
    "LoadFailed",
    "LocalRuntime",
    "ModelInUse",
    "ModelInfo",
    "ModelNotCached",
    "ModelNotFound",
    "ModelNotLoaded",
    "NotFound",
    "OutputItem",
    "RedisBreakers",
    "Replay",
    "Reply",
    "Response",
    "ResponseCache",
    "ResponseEvent",
    "ResponseNotFound",
    "ResponsePage",
    "ResponseStream",
    "RetryPolicy",
    "ServerError",
    "ServiceError",
    "ServiceFacts",
    "ServiceNotFound",
    "ServiceSpec",
    "ServiceState",
    "ServiceTimeout",
    "ServiceUnreachable",
    "SqliteBreakers",
    "Stats",
    "StreamInterrupted",
    "Timeouts",
    "TooManyRequests",
    "Tool",
    "ToolCall",
    "ToolCallFailed",
    "ToolLoopExceeded",
    "ToolRun",
    "Transcription",
    "TranscriptionChunk",
    "TranscriptionStream",
    "TransportError",
    "Typed",
    "UnknownArgument",
    "UnsupportedByService",
    "UnsupportedParameter",
    "Usage",
    "WorkerLost",
    "configure_logging",
    "from_env",
    "tool_message",
]


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'foundry_rest' has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"foundry_rest.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])

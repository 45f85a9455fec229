"""Every error that a caller can get: ``tree`` and ``cases`` define them, ``bodies`` builds them from answers.

Those of ``cases`` are imported by their names.
"""

from typing import TYPE_CHECKING

from foundry_rest.errors.attempt import Attempt
from foundry_rest.errors.base import FoundryError
from foundry_rest.errors.tree import (
    AuthenticationError,
    BadRequest,
    Cancelled,
    CircuitOpen,
    ConfigError,
    ContextLengthExceeded,
    DeadlineExceeded,
    InvalidReply,
    ServerError,
    ServiceError,
    ServiceNotFound,
    ServiceTimeout,
    ServiceUnreachable,
    StreamInterrupted,
    TooManyRequests,
    TransportError,
    UnknownArgument,
    UnsupportedByService,
)

if TYPE_CHECKING:
    from foundry_rest.errors.cases import (
        AudioFileNotFound,
        CatalogUnavailable,
        ExecutorBroken,
        InferenceFailed,
        InvalidMember,
        LoadFailed,
        ModelInUse,
        ModelNotCached,
        ModelNotFound,
        ModelNotLoaded,
        NotFound,
        ResponseNotFound,
        ToolCallFailed,
        ToolLoopExceeded,
        UnsupportedParameter,
        WorkerLost,
    )

__all__ = [
    "Attempt",
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
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from foundry_rest.errors import cases

        value = globals()[name] = getattr(cases, name)
        return value

    def __dir__() -> list[str]:
        return __all__

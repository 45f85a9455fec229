"""The values that users pass in and get back; those that a chat does not need are imported by their names."""

from typing import TYPE_CHECKING

from foundry_rest.schema.chat import ChatChunk, ChatReply, Choice, FunctionCall, Part, ToolCall, Usage
from foundry_rest.schema.request import ChatRequest, Message, build_chat_request
from foundry_rest.schema.service_status import ServiceStatus

if TYPE_CHECKING:
    from foundry_rest.schema.chat_params import ChatParams
    from foundry_rest.schema.models import DownloadStep, HealthReport, ModelInfo

__all__ = [
    "ChatChunk",
    "ChatParams",
    "ChatReply",
    "ChatRequest",
    "Choice",
    "DownloadStep",
    "FunctionCall",
    "HealthReport",
    "Message",
    "ModelInfo",
    "Part",
    "ServiceStatus",
    "ToolCall",
    "Usage",
    "build_chat_request",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from foundry_rest.schema import chat_params, models

        value = globals()[name] = getattr(chat_params if name == "ChatParams" else models, name)
        return value

    def __dir__() -> list[str]:
        return __all__

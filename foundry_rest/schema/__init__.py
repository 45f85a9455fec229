"""The values that users pass in and get back."""

from foundry_rest.schema.chat import ChatChunk, ChatReply, Choice, FunctionCall, Part, ToolCall, Usage
from foundry_rest.schema.models import DownloadStep, HealthReport, ModelInfo, ServiceStatus
from foundry_rest.schema.request import ChatParams, ChatRequest, Message, build_chat_request

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

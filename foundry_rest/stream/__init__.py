"""Open streams: iterate, close, gather. Streams of other endpoints than chat are in the sibling modules."""

from foundry_rest.stream.answer import GRACE, AnswerStream
from foundry_rest.stream.chat import ChatStream

__all__ = ["GRACE", "AnswerStream", "ChatStream"]

"""One open answer: iterate, close, gather. Other answers than chat's are in the modules beside this one."""

from foundry_rest.stream.answer import GRACE, AnswerStream
from foundry_rest.stream.chat import ChatStream

__all__ = ["GRACE", "AnswerStream", "ChatStream"]

"""The number of a prompt's tokens where no route tells it: 1.x and 2.x name it when they refuse a request."""

from __future__ import annotations

from msgspec.structs import replace

from foundry_rest.dialects.operation import Dialect, Operation
from foundry_rest.schema import ChatRequest
from foundry_rest.transport.call import Options

#: Tokens beyond the context of every model of the catalog.
MORE_THAN_ANY = 1_000_000


def count_by_refusal(dialect: Dialect, request: ChatRequest, options: Options) -> Operation[bytes, int]:
    """Build a stream of more tokens than any context holds, which is refused with the prompt's number.

    Measured on 1.2.4, 2.0.1, 2.1.0 and 2.2.1: in 1 to 4 ms, equal to ``usage.prompt_tokens``. It is a
    stream, so that a version that does not refuse can be stopped at its first event.
    """

    def answered(event: bytes) -> int:
        del event
        dialect.unsupported("token counting", "Read usage.prompt_tokens of an answer instead.")

    limits = {"max_tokens": MORE_THAN_ANY}
    kept = {name: value for name, value in request.params.items() if name != "max_completion_tokens"}
    asked = replace(request, params={**kept, **limits})
    operation = dialect.chat_stream(asked, options, "chat.count_tokens")
    return Operation(replace(operation.call, cacheable=False), answered)

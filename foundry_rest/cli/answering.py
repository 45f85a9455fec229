"""Answers of a model to a conversation, printed in the way that the command was asked for."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from foundry_rest.cli.answer_output import Printer
from foundry_rest.cli.conversation import Conversation
from foundry_rest.cli.output import print_json
from foundry_rest.cli.streams import print_note
from foundry_rest.client import FoundryAPIClient
from foundry_rest.errors import FoundryError
from foundry_rest.schema import Message


class Answered(NamedTuple):
    """What came of a question.

    Attributes:
        messages: What the model said, and what its tools did; also the part that came before an error.
        error: What ended it early.
    """

    messages: Sequence[Message] = ()
    error: FoundryError | KeyboardInterrupt | None = None


class Answers:
    """The answers to a conversation.

    Args:
        client: Whom to ask.
        arguments: Those of ``chat``.
        printer: How text is printed.
        schema: Type that checks the answer (``--schema``).
        functions: What the model may call (``--tool``).
        media: Parts that go with the prompt (``--image``, ``--audio``).
    """

    def __init__(
        self,
        client: FoundryAPIClient,
        arguments: Namespace,
        printer: Printer,
        *,
        schema: type[Any] | None = None,
        functions: Sequence[Callable[..., object]] = (),
        media: Sequence[Mapping[str, object]] = (),
    ) -> None:
        self._client, self._printer = client, printer
        self._schema, self._functions, self._media = schema, functions, media
        given = {name: getattr(arguments, name) for name in ("max_tokens", "temperature")}
        self._params = {name: value for name, value in given.items() if value is not None}
        self._partial = ""
        ways = (
            (media, self._with_media),
            (functions, self._with_tools),
            (schema is not None, self._fitting),
            (arguments.json, self._as_json),
            (arguments.no_stream, self._whole),
        )
        self._way = next((way for is_wanted, way in ways if is_wanted), self._streamed)

    def __call__(self, conversation: Conversation) -> Answered:
        """Ask what is in the conversation, print the answer, and return what came."""
        self._partial = ""
        try:
            return Answered(self._way(conversation))
        except (FoundryError, KeyboardInterrupt) as error:
            text = self._partial or getattr(error, "text", "")
            return Answered([_said(text)] if text else [], error)

    def _given(self, conversation: Conversation) -> dict[str, Any]:
        """Return the keyword arguments of a chat call."""
        named = {"model": conversation.model, "system": conversation.system}
        return self._params | {name: value for name, value in named.items() if value is not None}

    def _streamed(self, conversation: Conversation) -> list[Message]:
        stream = self._client.chat.stream(conversation.messages, **self._given(conversation))
        try:
            with stream, self._printer() as write:
                for chunk in stream:
                    write(chunk.content)
        finally:
            self._partial = stream.text
        _warn_if_truncated(stream.finish_reason)
        return [_said(stream.text)]

    def _whole(self, conversation: Conversation) -> list[Message]:
        with self._printer() as write:
            try:
                reply = self._client.chat.complete(conversation.messages, **self._given(conversation))
            except FoundryError as error:
                write(getattr(error, "text", ""))
                raise
            write(reply.content)
        _warn_if_truncated(reply.finish_reason)
        return [reply.message]

    def _as_json(self, conversation: Conversation) -> list[Message]:
        reply = self._client.chat.complete(conversation.messages, **self._given(conversation))
        print_json(reply.to_dict())
        return [reply.message]

    def _fitting(self, conversation: Conversation) -> list[Message]:
        value = self._client.chat.complete(
            conversation.messages, response_model=self._schema, **self._given(conversation)
        )
        print_json(value)
        return [_said(msgspec.json.encode(value).decode())]

    def _with_tools(self, conversation: Conversation) -> list[Message]:
        given = self._given(conversation)
        run = self._client.chat.run_tools(conversation.messages, functions=self._functions, **given)
        with self._printer() as write:
            write(run.reply.content)
        _warn_if_truncated(run.reply.finish_reason)
        return list(run.messages[len(conversation.messages) + ("system" in given) :])

    def _with_media(self, conversation: Conversation) -> list[Message]:
        """Ask by the Responses API, the only one through which Foundry Local shows a model anything."""
        text = {"type": "input_text", "text": conversation.messages[-1]["content"]}
        given = {_RESPONSE_NAMES.get(name, name): value for name, value in self._given(conversation).items()}
        item = {"role": "user", "content": [text, *self._media]}
        with self._client.responses.stream([item], **given) as stream, self._printer() as write:
            for event in stream:
                write(event.content)
        return [_said(stream.text)]


_RESPONSE_NAMES = {"max_tokens": "max_output_tokens", "system": "instructions"}


def _said(text: str) -> Message:
    return {"role": "assistant", "content": text}


def _warn_if_truncated(finish_reason: str | None) -> None:
    if finish_reason == "length":
        print_note("foundry-rest: the answer was cut at the limit; give a larger --max-tokens.")

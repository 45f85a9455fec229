"""The chat endpoint: completions, runs in which the model calls functions, and counts of tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from foundry_rest.checks import whole_number
from foundry_rest.config import MAX_TURNS
from foundry_rest.endpoints.completions import Completions
from foundry_rest.errors import ConfigError, ContextLengthExceeded, InvalidReply, UnsupportedByService
from foundry_rest.errors.process import late_import
from foundry_rest.schema import ChatReply, ChatRequest, Message
from foundry_rest.schema.messages import Conversation, prompt_or_messages
from foundry_rest.schema.request import CHAT_MISTAKES, CHAT_NAMES

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from foundry_rest.endpoints.chat_arguments import ChatArguments
    from foundry_rest.endpoints.token_counts import TokenCounts
    from foundry_rest.endpoints.tool_loop import Approve
    from foundry_rest.schema.tools import ToolRun
    from foundry_rest.transport.call_options import CallOptions

#: Functions that the model may call, or their descriptions.
Tools = Sequence[Mapping[str, object] | Callable[..., object]]


class Chat(Completions):
    """The chat endpoint."""

    def run_tools(
        self,
        messages: Conversation | UnsetType = UNSET,
        *,
        functions: Iterable[Callable[..., object]],
        prompt: Conversation | UnsetType = UNSET,
        max_turns: int = MAX_TURNS,
        approve: Approve | None = None,
        model: str | None = None,
        system: str | None = None,
        **given: Unpack[ChatArguments],
    ) -> ToolRun:
        """Let the model call functions until it gives its final answer.

        Several calls in one turn are made in order. A wrong name or wrong arguments are reported to the
        model; an exception of a function is raised unchanged. ``tool_choice="required"`` applies to the first
        turn only, ``"auto"`` to the others; use it where a model describes a call in text instead of making
        it, as some do on 0.x and 1.x. Further arguments are those of ``complete``; a ``deadline`` bounds the
        whole run, including the time in the functions.

        Args:
            messages: The user's prompt, or OpenAI messages.
            functions: Plain functions, which ``foundry_rest.schema.tools.Tool`` describes to the model.
            prompt: Another name for ``messages``.
            max_turns: Most turns of the model, including the final answer.
            approve: Called with each ``ToolCall`` (``name``, ``arguments``) before its function is: unless
                it returns true, the function is not called and the model is told that the user refused; a
                text is a refusal with that reason. Its exceptions are raised unchanged.
            model: Alias or id; the client's default when not given.
            system: Text of a system message that is put before the messages.
            given: As for ``complete``.

        Raises:
            ConfigError: A function cannot be described, or its result is not JSON.
            InvalidReply: ``max_tokens`` cut a tool call, or ``tool_choice`` demanded one and none came.
            ToolLoopExceeded: All turns were used up; ``messages`` holds the conversation.

        Options: timeout, deadline, retries, headers, cancel, lane, cache. Parameters: max_tokens,
        max_completion_tokens, temperature, top_p, stop, seed, tools, tool_choice, response_format,
        presence_penalty, frequency_penalty, metadata, reasoning_effort, chat_template_kwargs, user, logprobs,
        top_logprobs, logit_bias, parallel_tool_calls, top_k, extra.

        Example:
            >>> client.chat.run_tools("What is the weather in Paris?", functions=[get_weather]).reply.content
            'It is sunny in Paris.'
        """
        with late_import():
            from foundry_rest.endpoints.tool_loop import run_loop, tools_of

        options, params = self._context.split(given, CHAT_NAMES, CHAT_MISTAKES)
        whole_number("max_turns", max_turns, 1)
        if approve is not None and not callable(approve):
            raise ConfigError(f"approve must be a function of a ToolCall, not {type(approve).__name__}")
        if "tools" in params:
            raise ConfigError("tools cannot be given to run_tools(): functions takes their place")
        tools = tools_of(functions)
        described = {**params, "tools": [tool.spec for tool in tools.values()]}
        request = self._request(prompt_or_messages(prompt, messages), model, system, described)

        def ask(question: ChatRequest) -> ChatReply:
            try:
                return self._complete(question, options)
            except InvalidReply as error:
                error.call = "chat.run_tools"
                raise

        return run_loop(
            ask,
            request,
            tools,
            max_turns,
            lambda: self._error_context("chat.run_tools", request),
            approve,
        )

    def count_tokens(
        self,
        messages: Conversation | UnsetType = UNSET,
        *,
        prompt: Conversation | UnsetType = UNSET,
        model: str | None = None,
        system: str | None = None,
        tools: Tools | None = None,
        **options: Unpack[CallOptions],
    ) -> int:
        """Return the number of tokens of a prompt or a conversation, as the model's tokenizer counts them.

        1.x and 2.x tell it in the refusal of a request that is too long, within milliseconds; 0.x has a
        route. The model is loaded if need be. Counts are kept: the same text is not asked for twice.

        Args:
            messages: The user's prompt, or OpenAI messages.
            prompt: Another name for ``messages``.
            model: Alias or id; the client's default when not given.
            system: Text of a system message that is put before the messages.
            tools: Functions or descriptions that are sent along, as for ``complete``; their tokens count.
            options: Options of the call.

        Raises:
            UnsupportedByService: The service does not tell, or not with tools.

        Options: timeout, deadline, retries, headers, cancel, lane, cache.

        Example:
            >>> client.chat.count_tokens("What is the capital of France?")
            18
        """
        request = self._request(prompt_or_messages(prompt, messages), model, system, _with(tools))
        return self._counts.count(request, self._context.options(**options)).tokens

    def fit(
        self,
        messages: Conversation,
        *,
        max_tokens: int | None = None,
        model: str | None = None,
        system: str | None = None,
        tools: Tools | None = None,
        **options: Unpack[CallOptions],
    ) -> list[Message]:
        """Return a conversation without its oldest turns, as many as it takes to fit the model's context.

        A turn is a question and all that follows it, so tool calls and their results stay together. What the
        system says stays, and the last turn. Turns are counted by the service, in a few requests.

        Args:
            messages: OpenAI messages.
            max_tokens: Room for the answer, in tokens; by default the client's, at most half of the context.
            model: Alias or id; the client's default when not given.
            system: Text of a system message that is put before the messages.
            tools: What is sent along, as for ``count_tokens``.
            options: Options of the calls.

        Raises:
            ContextLengthExceeded: Not even the last turn fits; ``prompt_tokens`` and ``limit`` have the
                numbers.
            UnsupportedByService: The service does not tell the tokens, or how long its context is.

        Options: timeout, deadline, retries, headers, cancel, lane, cache.

        Example:
            >>> client.chat.fit([{"role": "user", "content": "Say OK"}], max_tokens=500)
            [{'role': 'user', 'content': 'Say OK'}]
        """
        with late_import():
            from foundry_rest.endpoints.token_counts import fit

        if max_tokens is not None:
            whole_number("max_tokens", max_tokens, 1)
        checked = self._context.options(**options)
        request = self._request(messages, model, system, _with(tools))
        try:
            return fit(
                lambda left: self._counts.count(replace(request, messages=left), checked),
                request.messages,
                max_tokens,
                self._context.config.max_tokens,
            )
        except (ContextLengthExceeded, UnsupportedByService) as error:
            error.call, error.url, error.model = "chat.fit", self._context.url, request.model
            raise

    @cached_property
    def _counts(self) -> TokenCounts:
        with late_import():
            from foundry_rest.endpoints.token_counts import TokenCounts

        return TokenCounts(self._context)


def _with(tools: Tools | None) -> dict[str, object]:
    return {} if tools is None else {"tools": tools}

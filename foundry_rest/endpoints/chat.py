"""The chat endpoint: completions, runs in which the model calls functions, and counts of tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from msgspec import UNSET, UnsetType

from foundry_rest.checks import whole_number
from foundry_rest.config import MAX_TURNS
from foundry_rest.endpoints.completions import ChatArguments, Completions
from foundry_rest.errors import ConfigError, InvalidReply
from foundry_rest.schema import ChatReply, ChatRequest
from foundry_rest.schema.messages import Conversation, prompt_or_messages
from foundry_rest.schema.request import CHAT_MISTAKES, CHAT_NAMES
from foundry_rest.transport.call_options import CallOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from foundry_rest.schema.tools import ToolRun


class Chat(Completions):
    """The chat endpoint."""

    def run_tools(
        self,
        messages: Conversation | UnsetType = UNSET,
        *,
        functions: Iterable[Callable[..., object]],
        prompt: Conversation | UnsetType = UNSET,
        max_turns: int = MAX_TURNS,
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
        from foundry_rest.endpoints.tool_loop import run_loop, tools_of

        options, params = self._context.split(given, CHAT_NAMES, CHAT_MISTAKES)
        whole_number("max_turns", max_turns, 1)
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
        )

    def count_tokens(
        self,
        messages: Conversation | UnsetType = UNSET,
        *,
        prompt: Conversation | UnsetType = UNSET,
        model: str | None = None,
        system: str | None = None,
        **options: Unpack[CallOptions],
    ) -> int:
        """Return the number of tokens of a prompt or a conversation, as the model's tokenizer counts them.

        Raises:
            UnsupportedByService: The service is not 0.x, the only generation with this route.

        Options: timeout, deadline, retries, headers, cancel, lane, cache.

        Example:
            >>> client.chat.count_tokens("Say OK")
            2
        """
        checked = self._context.options(**options)
        request = self._request(prompt_or_messages(prompt, messages), model, system, {})
        return self._context.ask(
            lambda target: target.dialect.count_tokens(target.named(request), checked),
            checked,
            model=request.model,
        )

"""The tool loop: functions are called as the model asks, in bounded turns, and nothing is guessed."""

from __future__ import annotations

import pickle

import pytest
from support.servers import CHAT, asks, bodies

from foundry_rest import FoundryAPIClient
from foundry_rest.dialects.openai import OpenAIDialect
from foundry_rest.dialects.operation import Operation
from foundry_rest.errors import (
    Cancelled,
    ConfigError,
    DeadlineExceeded,
    InvalidReply,
    ToolLoopExceeded,
    UnsupportedByService,
)
from foundry_rest.testing import (
    chat_completion,
    chat_event,
    chat_stream,
    json_answer,
    sse,
    stall,
)
from foundry_rest.transport.cancellation import CancelToken


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def shout(text: str) -> str:
    """Say it loudly."""
    return text.upper()


def test_a_run(server, native):
    """Calls of one answer are made in order, their results go back, and the last answer is the reply."""
    server.on(
        "POST",
        CHAT,
        asks(("add", '{"a":1,"b":2}'), ("shout", '{"text":"hi"}'), content="Let me see."),
        chat_stream("It is 3"),
    )
    run = native.chat.run_tools("1+2?", functions=[add, shout], system="Be brief.", temperature=0)

    assert run.reply.content == "It is 3"
    assert [(call.call.name, call.result, call.error) for call in run.calls] == [
        ("add", 3, ""),
        ("shout", "HI", ""),
    ]
    first, second = bodies(server)
    assert [tool["function"]["name"] for tool in first["tools"]] == ["add", "shout"]
    assert first["temperature"] == second["temperature"] == 0
    assert "tool_choice" not in second
    assert second["messages"] == list(run.messages[:-1])
    assert [message["role"] for message in run.messages] == [
        *("system", "user", "assistant", "tool", "tool", "assistant")
    ]
    assert run.messages[2]["content"] == "Let me see."
    assert run.messages[3] == {"role": "tool", "tool_call_id": "c0", "content": "3"}
    assert run.messages[4] == {"role": "tool", "tool_call_id": "c1", "content": "HI"}
    assert pickle.loads(pickle.dumps(run)) == run


def test_a_run_without_calls(server, native):
    """A model that answers at once is asked once; an empty list of calls is none (1.x sends it)."""
    server.on("POST", CHAT, sse([chat_event({"content": "Hi", "tool_calls": []}, "stop")]))
    run = native.chat.run_tools([{"role": "user", "content": "Hi"}], functions=[add])

    assert (run.reply.content, run.calls, len(run.messages)) == ("Hi", (), 2)


def test_a_run_over_plain_answers(server):
    """The same with a service that is asked without a stream."""
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":1,"b":2}'}}
    server.on("POST", CHAT, chat_completion("", finish="tool_calls", tool_calls=[call]), chat_completion("3"))
    with FoundryAPIClient(server.url, model="m", dialect="openai") as client:
        assert client.chat.run_tools("1+2?", functions=(add,)).calls[0].result == 3


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (("subtract", "{}"), "There is no tool 'subtract', only: add, shout."),
        (("", "{}"), "There is no tool ''"),
        (("add", '{"a":1}'), "Object missing required field `b` (at $)"),
        (("add", '{"a":1,"b":"2"}'), "Expected `int`, got `str` (at $.b)"),
        (("add", '{"a":1,'), "Input data was truncated"),
    ],
)
def test_what_the_model_got_wrong_it_may_mend(server, native, call, words):
    """A wrong name or argument calls nothing; the model is told and asked again."""
    server.on("POST", CHAT, asks(call), asks(("add", '{"a":1,"b":2}')), chat_stream("3"))
    run = native.chat.run_tools("1+2?", functions=[add, shout])

    assert [made.result for made in run.calls] == [None, 3]
    assert words in run.calls[0].error
    assert run.messages[2]["content"] == f"Error: {run.calls[0].error}"


def test_what_a_function_raises_reaches_the_caller(server, native):
    """It is not dressed up, not told to the model, and nothing is asked after it."""

    class Broken(Exception):
        """The function's own error."""

    def fail() -> None:
        """Fail."""
        raise Broken("as it is")

    server.on("POST", CHAT, asks(("fail", "{}")))
    with pytest.raises(Broken, match=r"^as it is$") as caught:
        native.chat.run_tools("Go", functions=[fail])

    assert caught.value.__cause__ is None
    assert len(bodies(server)) == 1


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("required", ["required", "auto", "auto"]),
        ({"type": "function", "function": {"name": "add"}}, [..., "auto", "auto"]),
        ("auto", ["auto", "auto", "auto"]),
        (None, [None, None, None]),
    ],
)
def test_a_forced_choice_holds_once(server, native, given, sent):
    """Else every answer would be a call, and the run would never end."""
    server.on("POST", CHAT, *[asks(("add", '{"a":1,"b":2}'))] * 2, chat_stream("3"))
    native.chat.run_tools("1+2?", functions=[add], tool_choice=given)

    assert [body.get("tool_choice") for body in bodies(server)] == [
        given if one is ... else one for one in sent
    ]


def test_the_turns_are_bounded(server, native):
    """The last turn's calls are not made: nobody would hear of their results; one can go on from there."""
    made: list[int] = []

    def count() -> int:
        """Count."""
        made.append(1)
        return len(made)

    server.on("POST", CHAT, *[asks(("count", "{}"), content="SECRET")] * 3, chat_stream("Done"))
    with pytest.raises(
        ToolLoopExceeded, match=r"after 3 turns.*chat.run_tools at .*larger max_turns"
    ) as caught:
        native.chat.run_tools("Go", functions=[count], max_turns=3)

    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.turns, len(made), error.model) == (3, 2, "demo-generic-cpu:1")
    assert [message["role"] for message in error.messages] == ["user", *("assistant", "tool") * 2]
    assert "SECRET" not in str(error)
    assert native.chat.run_tools(error.messages, functions=[count]).reply.content == "Done"


def test_eight_turns_by_default(server, native):
    """A model that asks for ever is stopped."""
    server.on("POST", CHAT, *[asks(("add", '{"a":1,"b":2}'))] * 8)
    with pytest.raises(ToolLoopExceeded):
        native.chat.run_tools("Go", functions=[add])

    assert len(bodies(server)) == 8


@pytest.mark.parametrize(
    ("script", "choice"),
    [
        (asks(("add", '{"a":1,"b"'), finish="length", content="SECRET"), None),
        (asks(("add", '{"a":1,"b":2}'), finish="length", content="SECRET"), None),
        (chat_stream(["SECRET"], finish="length"), "required"),
    ],
)
def test_a_call_cut_by_max_tokens(server, native, script, choice):
    """It is never made, whole as it may look; the error says which number to raise."""
    server.on("POST", CHAT, script)
    with pytest.raises(InvalidReply, match=r"max_tokens cut .*Give a larger max_tokens") as caught:
        native.chat.run_tools("Go", functions=[add], tool_choice=choice)

    assert (caught.value.text, caught.value.call) == ("SECRET", "chat.run_tools")
    assert "SECRET" not in str(caught.value)


def test_a_text_cut_by_max_tokens_is_an_answer(server, native):
    """As for ``complete``: the reason is on the reply."""
    server.on("POST", CHAT, chat_stream("one two", finish="length"))

    assert native.chat.run_tools("Go", functions=[add]).reply.finish_reason == "length"


def test_one_deadline_for_the_whole_run(server, native):
    """Later turns have what the earlier ones left."""
    server.on("POST", CHAT, asks(("add", '{"a":1,"b":2}')), stall())
    with pytest.raises(DeadlineExceeded):
        native.chat.run_tools("Go", functions=[add], deadline=0.1)

    assert len(bodies(server)) == 2


def test_a_run_is_cancelled_between_turns(server, native):
    """A token cancelled while a function runs ends the run before the next question."""
    token = CancelToken()

    def stop() -> None:
        """Stop."""
        token.cancel()

    server.on("POST", CHAT, asks(("stop", "{}")))
    with pytest.raises(Cancelled):
        native.chat.run_tools("Go", functions=[stop], cancel=token)

    assert len(bodies(server)) == 1


def test_a_result_that_is_no_json(server, native):
    """The function is named, and the model is not asked on."""

    def opaque() -> object:
        """Return what JSON does not know."""
        return object()

    server.on("POST", CHAT, asks(("opaque", "{}")))
    with pytest.raises(ConfigError, match="the result of tool 'opaque', object, is not JSON: return text"):
        native.chat.run_tools("Go", functions=[opaque])


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"functions": []}, "at least one function"),
        ({"functions": [add, add]}, "no two of one name"),
        ({"functions": add}, "functions must be a list of functions, not function"),
        ({"functions": "add"}, "must be a list of functions, not str"),
        ({"functions": ["add"]}, "a plain function with a name, not str"),
        ({"max_turns": 0}, "max_turns must be a whole number, 1 or more"),
        ({"tools": []}, "tools cannot be given to run_tools"),
        ({"stream": True}, "stream cannot be given"),
    ],
)
def test_mistakes_are_found_before_any_io(server, more, words):
    """A ConfigError costs no request, and calls nothing."""
    with FoundryAPIClient(server.url) as client, pytest.raises(ConfigError, match=words):
        client.chat.run_tools("Go", **{"functions": [add], **more})

    assert server.requests == []


class Counting(OpenAIDialect):
    """A service with a route that counts tokens."""

    def count_tokens(self, request, options):
        """Ask for the number of messages."""
        call = self.build_call("POST", "/count", "chat.count_tokens", options, {"n": len(request.messages)})
        return Operation(call, lambda reply: reply.decode(dict[str, int])["n"])


def test_counting_tokens(server):
    """It is the dialect's work, with the messages as a chat call would send them."""
    server.on("POST", "/count", json_answer({"n": 7}))
    with FoundryAPIClient(server.url, model="m", dialect=Counting()) as client:
        assert client.chat.count_tokens("Hi", system="Be brief.") == 7

    assert server.asked("/count")[0].json() == {"n": 2}


def test_counting_tokens_where_nobody_tells(server):
    """The error says what to read instead, and nothing is sent."""
    client = FoundryAPIClient(server.url, model="m", dialect="openai")
    with client, pytest.raises(UnsupportedByService, match=r"no token counting.*usage.prompt_tokens"):
        client.chat.count_tokens("Hi")

    assert server.asked(CHAT) == []


BROKEN = ['{"a":1,', "[1, 2]", '"3"', "7", "null", "add(1, 2)", '{"a":1}{"b":2}', "{'a': 1}", "true", " "]


@pytest.mark.parametrize("arguments", BROKEN)
def test_broken_arguments_are_echoed_as_an_object(server, native, arguments):
    """2.2.1 refuses a conversation with arguments that are no JSON object."""
    server.on("POST", CHAT, asks(("add", arguments)), chat_stream("3"))
    run = native.chat.run_tools("1+2?", functions=[add])

    (echoed,) = bodies(server)[1]["messages"][1]["tool_calls"]
    assert echoed["function"] == {"name": "add", "arguments": "{}"}
    assert run.calls[0].call.arguments == arguments
    assert run.calls[0].error


@pytest.mark.parametrize("arguments", ['{"a":1,"b":2}', *BROKEN])
def test_a_run_can_be_gone_on_with(server, native, arguments):
    """What ``run_tools`` returns is taken as messages, as it is and in a list."""
    server.on("POST", CHAT, asks(("add", arguments)), chat_stream("3"), chat_stream("4"), chat_stream("5"))
    run = native.chat.run_tools("1+2?", functions=[add])
    native.complete(run)
    native.complete([*run.messages, {"role": "user", "content": "And then?"}])

    assert bodies(server)[2]["messages"] == list(run.messages)
    assert bodies(server)[3]["messages"][:-1] == list(run.messages)


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        (False, "The user refused this call."),
        (None, "The user refused this call."),
        ("", "The user refused this call."),
        ("not on Sundays", "The user refused this call: not on Sundays"),
    ],
)
def test_a_call_that_is_not_approved(server, native, verdict, said):
    """Its function is not called; the model is told that the user refused, and the reason if there is one."""
    called = []

    def erase(path: str) -> None:
        """Erase a file."""
        called.append(path)

    server.on("POST", CHAT, asks(("erase", '{"path":"/"}'), ("add", '{"a":1,"b":2}')), chat_stream("Well"))
    seen = []

    def approve(call):
        seen.append((call.name, call.arguments))
        return verdict if call.name == "erase" else True

    run = native.chat.run_tools("Tidy up", functions=[erase, add], approve=approve)

    assert seen == [("erase", '{"path":"/"}'), ("add", '{"a":1,"b":2}')]
    assert not called
    assert [(made.error, made.result) for made in run.calls] == [(said, None), ("", 3)]
    assert [each["content"] for each in bodies(server)[1]["messages"][-2:]] == [f"Error: {said}", "3"]


def test_only_what_would_be_called_is_asked_about(server, native):
    """A call with a wrong name or wrong arguments is the model's to correct, not the user's to judge."""
    server.on("POST", CHAT, asks(("sub", "{}"), ("add", '{"a":"x"}')), chat_stream("Well"))
    run = native.chat.run_tools("1+2?", functions=[add], approve=lambda call: pytest.fail(call.name))

    assert [bool(made.error) for made in run.calls] == [True, True]


def test_an_exception_of_the_approval(server, native):
    """It is raised unchanged, and the function is not called."""
    server.on("POST", CHAT, asks(("add", '{"a":1,"b":2}')))

    def approve(_: object) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        native.chat.run_tools("1+2?", functions=[add], approve=approve)


def test_an_approval_that_is_no_function(server, native):
    """It is refused before anything is sent."""
    with pytest.raises(ConfigError, match="approve must be a function of a ToolCall, not bool"):
        native.chat.run_tools("1+2?", functions=[add], approve=True)

    assert not bodies(server)

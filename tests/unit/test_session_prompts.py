"""Refusals that quote the prompt: neither the error nor the log has it."""

from __future__ import annotations

import logging

import pytest
from support.servers import CHAT

from foundry_rest.errors import ServiceError
from foundry_rest.testing import json_error
from foundry_rest.transport.session.masking import prompts_in, without_prompts

PROMPT = "My neighbour's secret is that she keeps a tiger in the cellar."


@pytest.mark.parametrize(
    "quoted",
    [PROMPT, PROMPT[:30], PROMPT[25:], f"{PROMPT[:24]} ... {PROMPT[-22:]}"],
)
@pytest.mark.parametrize("status", [400, 422, 500])
def test_a_quote(server, native, caplog, quoted, status):
    """Whole or cut, it is stars in the message, its log record and what is pickled; the rest is as it was."""
    caplog.set_level(logging.DEBUG, "foundry_rest")
    server.on("POST", CHAT, json_error(status, f"cannot read '{quoted}' as a number"))
    with pytest.raises(ServiceError) as caught:
        native.complete(PROMPT)
    assert "cannot read '***" in str(caught.value)
    assert "as a number" in str(caught.value)
    assert "tiger" not in str(caught.value) + caplog.text
    assert "neighbour" not in str(caught.value) + caplog.text


def test_messages_and_parts(server, native):
    """A prompt in parts, or in an earlier message, is one, too."""
    server.on("POST", CHAT, json_error(400, f"bad: {PROMPT}"))
    conversation = [
        {"role": "user", "content": [{"type": "text", "text": PROMPT}]},
        {"role": "assistant", "content": "Well."},
        {"role": "user", "content": "And?"},
    ]
    with pytest.raises(ServiceError) as caught:
        native.complete(conversation)
    assert "tiger" not in str(caught.value)


def test_the_refusals_own_words_stay(server, native):
    """A short prompt, or one that has a word in common, takes nothing away."""
    said = "max_tokens is too large for this model"
    server.on("POST", CHAT, json_error(400, said))
    for prompt in ("model", "is this model too large?"):
        with pytest.raises(ServiceError, match=said):
            native.complete(prompt)


@pytest.mark.parametrize(
    "body", [None, b"", b"no json", b"[1]", b'{"messages": 5}', b'{"messages": [[[["x"]]]]}']
)
def test_bodies_without_prompts(body):
    """Whatever is sent, nothing is raised."""
    assert prompts_in(body) == ()


def test_names_are_no_prompts():
    """The name of a tool or a role may be in a refusal."""
    body = b'{"messages": [{"role": "a-very-long-role-name-indeed", "name": "a-very-long-name-for-a-user"}]}'
    assert prompts_in(body) == ()


def test_a_long_prompt_is_bounded():
    """Of a book its ends are looked through."""
    (kept,) = prompts_in(b'{"prompt": "' + b"x" * 50_000 + b"y" * 50_000 + b'"}')
    assert len(kept) < 50_000
    assert without_prompts("a " + "y" * 30, (kept,)) == "a ***"

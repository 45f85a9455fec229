"""One snippet, written for `openai`, gives the same with it and with us on the real services."""

from __future__ import annotations

import pytest
from openai import OpenAI

from foundry_rest import FoundryAPIClient

pytestmark = pytest.mark.runtime


def snippet(create, model, questions):
    """Ask questions in one conversation, as programs for `openai` do; return the last answer and its dump."""
    messages = []
    for question in questions:
        messages.append({"role": "user", "content": question})
        reply = create(model=model, messages=messages, max_tokens=40, temperature=0)
        messages.append(reply.choices[0].message)
    return reply.choices[0].message.content, reply.model_dump()


def compare(url, model, questions):
    """Return what the snippet gives with `openai` and with us."""
    with FoundryAPIClient(url, model=model) as ours:
        settings = ours.openai_settings()
        theirs = OpenAI(base_url=settings["base_url"], api_key=settings["api_key"])
        return (
            snippet(theirs.chat.completions.create, settings["model"], questions),
            snippet(ours.complete, model, questions),
        )


@pytest.mark.parametrize("generation", ["2.x", "1.x"])
def test_equal_text(request, generation, pairs):
    """The text is equal, and what both dumps tell of it."""
    service = request.getfixturevalue("runtime" if generation == "2.x" else "core_runtime")
    questions = [pair["question"] for pair in pairs[:2]]
    (text, theirs), (our_text, ours) = compare(service.url, "demo-chat", questions)

    assert our_text == text
    assert text
    assert ours["object"] == theirs["object"]
    assert ours["choices"][0]["message"]["content"] == theirs["choices"][0]["message"]["content"]
    assert ours["choices"][0]["finish_reason"] == theirs["choices"][0]["finish_reason"]
    assert ours.keys() <= theirs.keys()

"""LangChain's own client on the real runtime 1.2.4, with what `client.openai_settings` hands over.

tests/engines tries it on 2.2.1. Here LangChain is in an environment of its own, beside the service's.
"""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from foundry_rest import FoundryAPIClient

pytestmark = pytest.mark.runtime

REQUIREMENT = "langchain-openai>=1"
#: Reads the settings and the question; prints the whole answer, its tokens, and the pieces of a streamed one.
PROGRAM = """
import json, sys
from langchain_openai import ChatOpenAI

settings, question = json.load(sys.stdin)
chat = ChatOpenAI(**settings, temperature=0, max_tokens=40)
reply = chat.invoke(question)
pieces = [chunk.content for chunk in chat.stream(question)]
print(json.dumps([reply.content, reply.usage_metadata["output_tokens"], pieces]))
"""


@pytest.fixture(scope="module")
def told(core_runtime, environment_for, pairs):
    """Return a question, our answer to it, and what LangChain prints."""
    question = pairs[0]["question"]
    with FoundryAPIClient(core_runtime.url, model="demo-chat") as client:
        settings = client.openai_settings()
        ours = client.complete(question, temperature=0, max_tokens=40)
    done = subprocess.run(
        [str(environment_for(REQUIREMENT)), "-c", PROGRAM],
        input=json.dumps([settings, question]),
        env={**os.environ, "LANGCHAIN_TRACING_V2": "false", "LANGSMITH_TRACING": "false"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return ours, *json.loads(done.stdout)


def test_an_answer(told):
    """It is whole and ours, and its tokens are counted."""
    ours, content, tokens, _ = told

    assert content == ours.content
    assert content
    assert tokens == ours.usage.completion_tokens


def test_a_stream(told):
    """It comes in pieces, which are the text."""
    ours, _, _, pieces = told

    assert "".join(pieces) == ours.content
    assert len(list(filter(None, pieces))) > 3

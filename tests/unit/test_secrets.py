"""Nothing that is logged, told or raised holds a prompt, an answer or a key."""

from __future__ import annotations

import json
import logging

import pytest
from support.servers import CHAT

from foundry_rest import FoundryAPIClient, RetryPolicy
from foundry_rest.errors import ConfigError, FoundryError
from foundry_rest.testing import (
    DEMO_MODEL,
    answer,
    chat_stream,
    context_exceeded,
    cut,
    error_stream,
    html_page,
    inference_failed,
    model_not_loaded,
    too_many,
)

PROMPT, TEXT, KEY = "SENTINEL-PROMPT", "SENTINEL-ANSWER", "SENTINEL-KEY"


@pytest.mark.parametrize("dialect", ["2.x", "openai"])
@pytest.mark.parametrize(
    "script",
    [
        chat_stream([TEXT]),
        chat_stream([TEXT])[:3] + cut(),
        chat_stream([TEXT], finish=None, done=False),
        error_stream(after=[TEXT]),
        context_exceeded(),
        inference_failed(),
        model_not_loaded(),
        too_many(0),
        html_page(),
        cut(),
        answer(200, TEXT),
        answer(422, json.dumps({"detail": [{"msg": "no", "input": PROMPT}]})),
    ],
)
def test_nothing_secret_is_told(server, caplog, script, dialect):
    """No log line, event, error text, repr or figure holds a prompt, an answer or a key."""
    caplog.set_level(logging.DEBUG)
    server.on("POST", CHAT, script)
    events: list[object] = []
    outcomes: list[object] = []
    client = FoundryAPIClient(
        server.url,
        model=DEMO_MODEL,
        api_key=KEY,
        headers={"X-Key": KEY},
        observers=[events.append],
        dialect=dialect,
        retries=RetryPolicy(retries=1, base=0, floor=0),
    )
    with client:
        for ask in (client.complete, lambda prompt: client.stream_complete(prompt).gather()):
            try:
                outcomes.append(type(ask(PROMPT)))
            except FoundryError as error:
                outcomes += [str(error), repr(error), error.attempts, str(error.__cause__)]
        told = [repr(client), repr(client.stats()), *map(repr, events), *map(str, outcomes), caplog.text]

    assert caplog.records
    for secret in (PROMPT, TEXT, KEY):
        assert not [text for text in told if secret in text]


def test_a_bad_prompt_is_not_told(caplog):
    """A mistake is named without what it was made in."""
    caplog.set_level(logging.DEBUG)
    for prompt in (f"{PROMPT}\0", [{"role": "user", "content": {PROMPT}}], PROMPT.encode()):
        with pytest.raises(ConfigError) as caught:
            FoundryAPIClient("http://h:1").complete(prompt)
        assert PROMPT not in str(caught.value) + caplog.text

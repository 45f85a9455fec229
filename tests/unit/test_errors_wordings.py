"""The wordings of other servers: the class of an error is what a caller can do about it."""

from __future__ import annotations

import json

import pytest

from foundry_rest.errors import (
    BadRequest,
    ContextLengthExceeded,
    ModelNotFound,
    ModelNotLoaded,
    ServerError,
)
from foundry_rest.errors.bodies import service_error
from foundry_rest.errors.parsing import error_in

#: (server, status, body, class), as the servers and their trackers show them.
RECORDED = [
    (
        "vLLM 0.9",
        400,
        {
            "object": "error",
            "message": "This model's maximum context length is 16384 tokens. However, you requested 122946",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        },
        ContextLengthExceeded,
    ),
    (
        "vLLM 0.15",
        400,
        {
            "error": {
                "message": "This model's maximum context length is 512 tokens.",
                "type": "BadRequestError",
            }
        },
        ContextLengthExceeded,
    ),
    (
        "OpenAI",
        400,
        {
            "error": {
                "message": "Too long.",
                "type": "invalid_request_error",
                "code": "context_length_exceeded",
            }
        },
        ContextLengthExceeded,
    ),
    (
        "llama.cpp",
        400,
        {
            "error": {
                "code": 400,
                "message": "the request exceeds the available context size, try increasing it",
                "type": "exceed_context_size_error",
                "n_ctx": 4096,
            }
        },
        ContextLengthExceeded,
    ),
    (
        "llama-cpp-python",
        400,
        {"error": {"message": "Requested tokens (30023) exceed context window of 512", "code": None}},
        ContextLengthExceeded,
    ),
    ("Ollama", 400, {"error": "the input length exceeds the context length"}, ContextLengthExceeded),
    (
        "LM Studio",
        400,
        {
            "error": "Trying to keep the first 6000 tokens when context the overflows. However, the model is "
            "loaded with context length of only 4096 tokens, which is not enough."
        },
        ContextLengthExceeded,
    ),
    (
        "litellm",
        400,
        {
            "error": {
                "message": "litellm.ContextWindowExceededError: OpenAIException - Input tokens",
                "code": "400",
            }
        },
        ContextLengthExceeded,
    ),
    (
        "Anthropic by a gateway",
        400,
        {"type": "error", "error": {"message": "prompt is too long: 209303 tokens > 200000 maximum"}},
        ContextLengthExceeded,
    ),
    (
        "Gemini by a gateway",
        400,
        {
            "error": {
                "message": "The input token count (2800010) exceeds the maximum number of tokens allowed"
            }
        },
        ContextLengthExceeded,
    ),
    (
        "vLLM",
        404,
        {"object": "error", "message": "The model `llama-9` does not exist.", "type": "NotFoundError"},
        ModelNotFound,
    ),
    (
        "OpenAI",
        404,
        {"error": {"message": "The model `gpt-9` does not exist or you do not have access to it."}},
        ModelNotFound,
    ),
    (
        "litellm",
        400,
        {"error": {"message": "/chat/completions: Invalid model name passed in model=gpt-9.", "code": "400"}},
        ModelNotFound,
    ),
    ("litellm, older", 400, {"detail": "400: {'error': 'Invalid model name passed in'}"}, ModelNotFound),
    ("Ollama", 404, {"error": {"message": 'model "llama9" not found, try pulling it first'}}, ModelNotFound),
    ("Ollama, older", 404, {"error": "model 'llama9' not found"}, ModelNotFound),
    ("LM Studio", 400, {"error": {"message": 'Invalid model identifier "llama-9".'}}, ModelNotFound),
    (
        "LM Studio",
        404,
        {"error": {"message": "No models loaded. Please load a model in the developer page."}},
        ModelNotLoaded,
    ),
    ("LM Studio", 500, {"error": "Model is unloaded."}, ModelNotLoaded),
    # What sounds like one of them and is none.
    ("any", 400, {"error": {"message": "context must be a list"}}, BadRequest),
    (
        "llama.cpp",
        503,
        {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}},
        ServerError,
    ),
    ("any", 500, {"error": {"message": "the model crashed"}}, ServerError),
]


@pytest.mark.parametrize(("server", "status", "body", "cls"), RECORDED)
def test_recorded_refusals_of_other_servers(server, status, body, cls):
    """Each says the same in its own words."""
    error = service_error(status, {}, json.dumps(body).encode())

    assert type(error) is cls, server


@pytest.mark.parametrize(("server", "status", "body", "cls"), [row for row in RECORDED if row[1] < 500])
def test_the_same_within_a_stream(server, status, body, cls):
    """A stream reports it under 200."""
    error = error_in(json.dumps(body).encode())

    if error is not None and cls is not BadRequest:
        assert type(error) is cls, server

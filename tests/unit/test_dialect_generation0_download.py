"""Downloads of 0.x: what is asked for, and every line of the answer, in each of its shapes."""

from __future__ import annotations

import json

import pytest
from support.dialects import read
from support.generation0 import GENERIC_CPU, LEGACY, OPTIONS, PATIENT, SAMPLES, listed, place

from foundry_rest.errors import (
    ConfigError,
    InvalidMember,
    InvalidReply,
    LoadFailed,
    ServerError,
    ServiceError,
)
from foundry_rest.schema import DownloadStep, ModelInfo
from foundry_rest.transport.call import Replay
from foundry_rest.transport.lines import LineDecoder


def steps(body: bytes) -> list[DownloadStep]:
    """Return the steps of a download's answer."""
    parse = LEGACY.models().download(listed("list")[0], OPTIONS).parse
    return [parse(unit) for unit in LineDecoder().feed(body)]


def step(line: str) -> DownloadStep:
    """Return the step of one line."""
    return LEGACY.models().download(listed("list")[0], OPTIONS).parse(line.encode())


def test_what_a_download_asks_for():
    """The body is what Microsoft's client sends; a long silence is borne, and it is not begun twice."""
    call = LEGACY.models().download(listed("list")[3], OPTIONS).call

    assert place(call) == ("POST", "/openai/download", "models.download")
    assert json.loads(call.body) == {
        "model": {
            "Name": GENERIC_CPU,
            "Uri": "azureml://registries/azureml/models/Phi-4-mini-instruct-generic-cpu/versions/5",
            "Publisher": "Microsoft",
            "ProviderType": "AzureFoundryLocal",
            "PromptTemplate": {
                "assistant": "{Content}",
                "prompt": "<|user|>\n{Content}<|end|>\n<|assistant|>",
            },
        },
        "token": "",
        "IgnorePipeReport": True,
    }
    assert (call.replay, call.lines, call.options.timeouts, call.options.until) == (
        Replay.IF_UNSENT,
        True,
        PATIENT,
        99.0,
    )
    assert call.model == GENERIC_CPU


def test_a_download_names_the_version():
    """Without ``:version`` the service would register version 0; an entry without any keeps its name."""
    (info,) = listed("list_documents")
    (bare,) = read(
        LEGACY.models().listed(OPTIONS), [{"name": "a", "uri": "u", "providerType": "HuggingFace"}]
    )

    assert json.loads(LEGACY.models().download(info, OPTIONS).call.body)["model"]["Name"] == f"{info.id}:3"
    model = json.loads(LEGACY.models().download(bare, OPTIONS).call.body)["model"]
    assert (model["Name"], model["ProviderType"], model["PromptTemplate"]) == ("a", "HuggingFace", None)


@pytest.mark.parametrize("raw", [None, {}, {"uri": 5}, {"name": "a"}, [1]])
def test_a_model_without_an_address(raw):
    """A model that the catalog does not describe is refused before anything is sent."""
    with pytest.raises(ConfigError, match=r"cannot be downloaded.*models\.catalog"):
        LEGACY.models().download(ModelInfo(id="a:1", raw=raw), OPTIONS)


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        ("download_percent", [(0.0004, ""), (0.125, ""), (0.9996, ""), (1.0, "")]),
        (
            "download_pairs",
            [(1.0, "genai_config.json"), (0.0001, ""), (0.5, "model.onnx.data"), (0.42, ""), (1.0, "")],
        ),
        ("download_windows", [(0.0, ""), (0.425, ""), (1.0, ""), (1.0, "")]),
        ("download_cut", [(0.4, ""), (0.6, "")]),
    ],
)
def test_progress(sample, expected):
    """Both dialects give fractions; only the service's last word, in any case, is a ``done``."""
    seen = steps((SAMPLES / f"{sample}.txt").read_bytes())

    assert [(pytest.approx(each.fraction), each.file) for each in seen] == expected
    assert [each.done for each in seen] == [False] * (len(seen) - 1) + [sample != "download_cut"]


@pytest.mark.parametrize(
    ("line", "fraction", "file"),
    [
        ('("", 4E-05)', 0.00004, ""),
        ("('', 0.5)", 0.5, ""),
        ("(, 0.5)", 0.5, ""),
        ("(model.onnx, 0,5)", 0.5, "model.onnx"),
        ('("50%, (a).onnx", 0.25)', 0.25, "50%, (a).onnx"),
        ("Total 7 % Downloading (a, 3)", 0.07, ""),
        ("120%", 1.0, ""),
        ('("", 1.5)', 1.0, ""),
        ("50", 0.0, ""),
        ("(a, NaN)", 0.0, ""),
        ("\ufffd%", 0.0, ""),
    ],
)
def test_one_line(line, fraction, file):
    """Numbers are read as any country writes them, never above 1; a line may tell none."""
    assert step(line) == DownloadStep(fraction=pytest.approx(fraction), file=file)


def test_a_line_without_a_number_repeats_the_last():
    """Progress of the whole never falls back to 0 for a remark, nor takes a file's share for the whole."""
    lines = b'Total 40%\n("a", 0.9)\nwait\n("", 0.5)\n\xff\n'

    assert [each.fraction for each in steps(lines)] == [0.4, 0.9, 0.4, 0.5, 0.5]


@pytest.mark.parametrize(
    ("body", "error", "words"),
    [
        ((SAMPLES / "download_failed.txt").read_bytes(), ServiceError, "not enough space on the disk"),
        (b'{"Success":false,"ErrorMessage":"Failed loading model"}', LoadFailed, "Failed loading model"),
        (b'{"success":false,"errorMessage":null}', ServiceError, "does not say why"),
        (b'{"success":false}', ServiceError, "does not say why"),
        (b'{"error":{"message":"boom","type":"server_error"}}', ServerError, "boom"),
        (b"{}", InvalidReply, "success"),
        (b'{"success":"yes"}', InvalidMember, "true or false"),
    ],
)
def test_a_download_that_failed(body, error, words):
    """The status was 200 long before: only the last object tells, and its words become the error."""
    with pytest.raises(error, match=words) as caught:
        steps(body)

    assert type(caught.value) is error
    assert caught.value.advice

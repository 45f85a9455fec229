"""What `chat` is given in files and as functions: used as it is, or refused with the reason."""

from __future__ import annotations

import base64
import sys

import pytest

from foundry_rest.cli import chat_input
from foundry_rest.cli.chat_input import (
    audio_parts,
    functions_named,
    image_parts,
    read_template,
    template_folder,
)
from foundry_rest.errors import ConfigError
from foundry_rest.schema.tools import Tool


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a file and gives its path as text."""

    def make(name, content=b"content"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return make


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Return a function that writes a module into the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    before = set(sys.modules)
    yield lambda name, text: (tmp_path / f"{name}.py").write_text(text, "utf-8")
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("template", "prompt", "asked"),
    [
        ("Translate: {input}\n", "Grüße", "Translate: Grüße"),
        ("{input} and {input}", "a", "a and a"),
        ('{"json": "{input}"}', "{input}", '{"json": "{input}"}'),
        ("Summarise this.", "a text", "Summarise this.\n\na text"),
        ("Tell a joke.", "", "Tell a joke."),
        ("\ufeffmark {input}", "a", "mark a"),
    ],
)
def test_template(write, template, prompt, asked):
    """`{input}` is where the prompt goes, other braces are text; without it the template stands before."""
    assert read_template(write("a.txt", template))(prompt) == asked


def test_no_template():
    """Without a template a prompt stays as it is."""
    assert read_template(None)("{input} ") == "{input} "


def test_template_by_name():
    """A name is looked for in the user's folder of templates."""
    template_folder().mkdir(parents=True)
    (template_folder() / "joke.txt").write_text("A joke on {input}", "utf-8")
    assert read_template("joke")("cats") == "A joke on cats"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("nobody", None, "there is no template 'nobody': neither a file of that name nor .*nobody.txt"),
        ("./nobody", None, "the template nobody cannot be read"),
        ("a.txt", b"caf\xe9", r"is not UTF-8 \(byte 3\)"),
        ("a.txt", b"", "is empty"),
    ],
)
def test_template_that_is_none(write, name, content, said):
    """A template that cannot be used is refused, and it is said where it was looked for."""
    with pytest.raises(ConfigError, match=said):
        read_template(name if content is None else write(name, content))


def test_parts(write):
    """Pictures are data: URLs of their kind, recordings base64 beside their format."""
    content = base64.b64encode(b"content").decode()
    assert image_parts([write("a.PNG"), write("b.jpg")]) == [
        {"type": "input_image", "image_url": f"data:image/png;base64,{content}"},
        {"type": "input_image", "image_url": f"data:image/jpeg;base64,{content}"},
    ]
    assert audio_parts([write("a.wav")]) == [{"type": "input_audio", "data": content, "format": "wav"}]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"a", "is no picture by its name"),
        ("a.png", b"", "is empty"),
        ("a.png", b"x" * 11, "is too large"),
        ("no/a.png", None, "cannot be read"),
        ("a\0.png", None, "cannot be read"),
    ],
)
def test_picture_that_is_none(write, monkeypatch, name, content, said):
    """A file that is no picture, cannot be read or is too large is refused by name."""
    monkeypatch.setattr(chat_input, "_MOST_MEDIA", 10)
    with pytest.raises(ConfigError, match=said):
        image_parts([name if content is None else write(name, content)])


def test_function_of_the_working_directory(module, capsys):
    """A module may lie in the working directory; its function keeps its description, and calls are told."""
    module("my_tools", 'def add(a: int, b: int = 1) -> int:\n    """Add two numbers."""\n    return a + b\n')
    (add,) = functions_named(["my_tools:add"])

    assert Tool.of(add).description == "Add two numbers."
    assert Tool.of(add).parameters["properties"].keys() == {"a", "b"}
    assert add(a=1, b=2) == 3
    assert capsys.readouterr().err == "add(a=1, b=2)\n"


def test_working_directory_hides_nothing(module):
    """A file there that has the name of one of Python's modules is not taken for it."""
    module("json", "raise RuntimeError\n")
    assert functions_named(["json:dumps"])[0].__name__ == "dumps"


def test_function_that_fails(module, capsys):
    """What a tool raises is its result, for the model to see, and is told to the person."""
    module("broken_tools", 'def fail():\n    """Fail."""\n    raise KeyError("a")\n')
    assert functions_named(["broken_tools:fail"])[0]() == "Error: KeyError: 'a'"
    assert "fail failed: KeyError: 'a'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("json", "module:function, not 'json'"),
        (":dumps", "module:function"),
        ("json:nothing", "json has no function nothing"),
        ("json:decoder", "is no plain function"),
        ("no_such_module:f", "cannot be imported: ModuleNotFoundError"),
        ("raises:f", "cannot be imported: RuntimeError: oh"),
    ],
)
def test_function_that_is_none(module, name, said):
    """A tool that cannot be had is refused with the reason."""
    module("raises", "raise RuntimeError('oh')\n")
    with pytest.raises(ConfigError, match=said):
        functions_named([name])

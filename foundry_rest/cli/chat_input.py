"""The files and functions that ``chat`` is given: a template, pictures and recordings, tools."""

from __future__ import annotations

import base64
import functools
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from foundry_rest.cli.streams import print_note
from foundry_rest.errors import ConfigError
from foundry_rest.private_files import read_regular

_INPUT = "{input}"
#: Most bytes of a template or a schema, and of a picture or a recording.
_MOST_TEXT, _MOST_MEDIA = 1024 * 1024, 64 * 1024 * 1024
#: Ending of a file's name -> its media type.
_IMAGES = {
    **{f".{name}": f"image/{name}" for name in ("png", "jpeg", "gif", "webp", "bmp")},
    ".jpg": "image/jpeg",
}
_AUDIO = {f".{name}": name for name in ("wav", "mp3", "flac", "ogg", "m4a")}


def read_text_file(path: Path, what: str) -> str:
    """Return the text of a file.

    Raises:
        ConfigError: It cannot be read, is too large, or no UTF-8.
    """
    try:
        return _content(path, what, _MOST_TEXT).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{what} {path} is not UTF-8 (byte {error.start})") from None


def template_folder() -> Path:
    """Return the folder of templates that have a name."""
    import platformdirs

    return Path(platformdirs.user_config_dir("foundry_rest", appauthor=False), "templates")


def read_template(name: str | None) -> Callable[[str], str]:
    """Return a function that puts a prompt into a template; without one, a prompt stays as it is.

    A template without ``{input}`` stands before the prompt.

    Args:
        name: A file, or the name of a ``NAME.txt`` in the folder of templates.

    Raises:
        ConfigError: There is none, or it is no text.
    """
    if name is None:
        return lambda prompt: prompt
    text = read_text_file(_template_file(name), "the template").rstrip("\r\n")
    if _INPUT not in text:
        text = f"{text}\n\n{_INPUT}"
    return lambda prompt: text.replace(_INPUT, prompt).strip("\r\n")


def image_parts(files: Sequence[str]) -> list[dict[str, object]]:
    """Return pictures as parts of a message.

    Raises:
        ConfigError: One cannot be read, or is none by its name.
    """
    return [
        {"type": "input_image", "image_url": f"data:{kind};base64,{content}"}
        for kind, content in (_media(file, "picture", _IMAGES) for file in files)
    ]


def audio_parts(files: Sequence[str]) -> list[dict[str, object]]:
    """Return recordings as parts of a message, in the flat form that 2.x reads.

    Raises:
        ConfigError: One cannot be read, or is none by its name.
    """
    return [
        {"type": "input_audio", "data": content, "format": kind}
        for kind, content in (_media(file, "recording", _AUDIO) for file in files)
    ]


def functions_named(names: Sequence[str]) -> list[Callable[..., object]]:
    """Return the functions of ``module:function``, also of modules in the working directory.

    What one raises is told to the model as its result, and to the person.

    Raises:
        ConfigError: A module cannot be imported, or has no such function.
    """
    if names and "" not in sys.path and (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)  # last, so that no file there stands in for a module of Python's
    return [_told(_function(name)) for name in names]


def _template_file(name: str) -> Path:
    given = Path(name).expanduser()
    if given.is_file() or {"/", os.sep} & set(name):
        return given
    named = template_folder() / f"{name}.txt"
    if not named.is_file():
        raise ConfigError(f"there is no template {name!r}: neither a file of that name nor {named}")
    return named


def _media(file: str, what: str, kinds: dict[str, str]) -> tuple[str, str]:
    path = Path(file).expanduser()
    kind = kinds.get(path.suffix.lower())
    if kind is None:
        raise ConfigError(f"{path} is no {what} by its name; those end in {', '.join(kinds)}")
    return kind, base64.b64encode(_content(path, f"the {what}", _MOST_MEDIA)).decode()


def _content(path: Path, what: str, most: int) -> bytes:
    try:
        content = read_regular(path, most + 1)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{what} {path} cannot be read: {getattr(error, 'strerror', '') or error}"
        ) from None
    if not content:
        raise ConfigError(f"{what} {path} is empty")
    if len(content) > most:
        raise ConfigError(f"{what} {path} is too large, with more than {most // 1024 // 1024} MiB")
    return content


def _function(name: str) -> Callable[..., object]:
    module, _, attribute = name.partition(":")
    if not (module and attribute):
        raise ConfigError(f"a tool is given as module:function, not {name!r}")
    try:
        found = getattr(import_module(module), attribute)
    except AttributeError:
        raise ConfigError(f"the module {module} has no function {attribute}") from None
    except Exception as error:  # whatever the module's own code raises
        raise ConfigError(
            f"the module {module} of the tool {name} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    if not inspect.isroutine(found):
        raise ConfigError(f"the tool {name} is no plain function")
    function: Callable[..., object] = found
    return function


def _told(function: Callable[..., object]) -> Callable[..., object]:
    """Return a tool that tells of each call, and gives an error of its own as the result."""

    @functools.wraps(function)
    def call(**arguments: object) -> object:
        shown = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        print_note(f"{function.__name__}({shown})")
        try:
            return function(**arguments)
        except Exception as error:  # noqa: BLE001 (the tool's own, for the model and the person)
            told = f"{type(error).__name__}: {error}"
            print_note(f"{function.__name__} failed: {told}")
            return f"Error: {told}"

    return call

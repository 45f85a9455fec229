"""The progress of a download and a load, drawn for a person: a bar on a terminal, a line in a notebook."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from foundry_rest.control_characters import visible
from foundry_rest.errors import ConfigError
from foundry_rest.schema import DownloadStep

Progress = Callable[[DownloadStep], object]
#: What a caller may give: a function, ``True`` to draw, ``None`` or ``False`` for nothing.
GivenProgress = Progress | bool | None

#: Phase -> the words for it.
_WORDS = {
    "download": "{what} {step.fraction:4.0%}",
    "load": "{name} is being loaded",
    "ready": "{name} is ready",
}


def shown(progress: GivenProgress, name: str) -> AbstractContextManager[Progress]:
    """Return a context that yields the function to call with each step of the model ``name``.

    Raises:
        ConfigError: ``progress`` is neither a function nor a bool.
    """
    if progress is True:
        return drawn(name)
    if progress is None or progress is False:
        return nullcontext(_ignore)
    if not callable(progress):
        raise ConfigError(f"progress must be a function that takes a step, or True, not {progress!r}")
    return nullcontext(progress)


def drawn(name: str) -> AbstractContextManager[Progress]:
    """Draw the steps of a model in a notebook or on the terminal of stderr; elsewhere nothing."""
    display = _notebook()
    if display is not None:
        return _line_in_notebook(name, display)
    return on_terminal(name) if is_terminal() else nullcontext(_ignore)


def is_terminal() -> bool:
    """Return whether a person looks at stderr."""
    return sys.stderr is not None and sys.stderr.isatty()


def on_terminal(name: str) -> AbstractContextManager[Progress]:
    """Draw the steps on the terminal of stderr, by rich where it is installed."""
    return _rich_bar(name) if find_spec("rich") else _percentage(name)


def words_for(step: DownloadStep, name: str) -> str:
    """Return a step in words.

    >>> words_for(DownloadStep(fraction=0.5), "phi-4"), words_for(DownloadStep(phase="load"), "phi-4")
    ('phi-4  50%', 'phi-4 is being loaded')
    """
    return visible(_WORDS[step.phase].format(what=step.file or name, name=name, step=step))


def _ignore(step: DownloadStep) -> None:
    """Show nothing."""


@contextmanager
def _percentage(name: str) -> Iterator[Progress]:
    line = ""

    def show(step: DownloadStep) -> None:
        nonlocal line
        words = words_for(step, name)
        if words != line:
            # Padded with blanks, which overwrite the rest of a longer line.
            sys.stderr.write(f"\r{words:<{len(line)}}")
            sys.stderr.flush()
            line = words

    try:
        yield show
    finally:
        if line:
            sys.stderr.write("\n")


@contextmanager
def _rich_bar(name: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    # Brackets in a name are not rich's markup.
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task(name, total=1.0)

        def show(step: DownloadStep) -> None:
            words = visible(step.file or name) if step.phase == "download" else words_for(step, name)
            progress.update(task, completed=step.fraction, description=words)

        yield show


@contextmanager
def _line_in_notebook(name: str, display: Callable[..., Any]) -> Iterator[Progress]:
    line, handle = "", None

    def show(step: DownloadStep) -> None:
        nonlocal line, handle
        words = words_for(step, name)
        if words == line:
            return
        line, content = words, _in_both_forms(step, words)
        if handle is None:
            handle = display(content, raw=True, display_id=True)
        else:
            handle.update(content, raw=True)

    yield show


def _in_both_forms(step: DownloadStep, words: str) -> dict[str, str]:
    """Return a line as text, and as HTML with a bar."""
    from html import escape

    bar = f'<progress max="1" value="{step.fraction:.3f}"></progress>'
    return {"text/plain": words, "text/html": f"{bar} {escape(words)}"}


def _notebook() -> Callable[..., Any] | None:
    """Return IPython's ``display`` where its kernel runs this code, else ``None``."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if getattr(shell, "kernel", None) is None:
        return None
    display: Callable[..., Any] = import_module("IPython.display").display
    return display

"""The report of a failure on stderr: a sentence for people, one line of JSON for programs (``--json``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from foundry_rest.cli.streams import print_note

#: The option in all spellings that argparse accepts.
_OPTIONS = frozenset(("--json", "--jso", "--js", "--j"))


class UsageError(Exception):
    """Arguments that the parser refuses, with its usage line.

    Attributes:
        usage: How the command is used.
        message: What is wrong.
    """

    def __init__(self, usage: str, message: str) -> None:
        super().__init__(message)
        self.usage, self.message = usage, message


def wants_json(argv: Sequence[str]) -> bool:
    """Return whether the arguments, which may be wrong otherwise, ask for JSON."""
    options = argv[: argv.index("--")] if "--" in argv else argv
    return not _OPTIONS.isdisjoint(options)


def report(text: str, facts: Mapping[str, object], code: int, *, as_json: bool) -> int:
    """Print ``text``, or the facts as ``{"error": {...}}``; return ``code``."""
    if not as_json:
        print_note(text)
        return code
    import json

    # ASCII alone, so that it is valid JSON in any locale.
    print_note(json.dumps({"error": {**facts, "exit_code": code}}))
    return code

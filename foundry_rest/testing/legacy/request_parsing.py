"""Requests to the 0.x service, parsed; names are matched in any case, as ASP.NET does."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from foundry_rest.testing.wire import Request


@dataclass(frozen=True, slots=True)
class LegacyRequest:
    """One request, parsed.

    Attributes:
        url: The service's own address.
        name: Last part of the path, decoded.
        query: Parameters; names in lower case.
        body: Members of the JSON body; names in lower case.
    """

    url: str = ""
    name: str = ""
    query: dict[str, str] = field(default_factory=dict)
    body: dict[str, object] = field(default_factory=dict)

    def number(self, name: str) -> int:
        """Return a parameter as a whole number; 0 for none.

        Raises:
            ValueError: It is something else.
        """
        return int(self.query.get(name) or 0)

    def flag(self, name: str, *, default: bool) -> bool:
        """Return a parameter as true or false.

        Raises:
            ValueError: It is something else.
        """
        words = {"true": True, "false": False, "": default}
        word = self.query.get(name, "").lower()
        if word not in words:
            raise ValueError(f"{name} must be true or false")
        return words[word]


def parse_request(request: Request, url: str, name: str) -> LegacyRequest:
    """Parse a request.

    Raises:
        ValueError: The body is not a JSON object.
    """
    query = parse_qsl(request.query, keep_blank_values=True)
    body = lower_names(request.json()) if request.method == "POST" else {}
    return LegacyRequest(url, name, {key.lower(): value for key, value in query}, body)


def lower_names(value: object) -> dict[str, object]:
    """Return an object with its names in lower case.

    Raises:
        ValueError: It is not an object.
    """
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 (bad input from a client, not a wrong argument)
    return {key.lower(): part for key, part in value.items()}


def string_list(value: object) -> list[str]:
    """Return a text, or the texts of a list, as a list; an empty one for anything else."""
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, str)]


def count_words(messages: object) -> int:
    """Count the words of a conversation: the tokens of a service without a model."""
    items = messages if isinstance(messages, list) else []
    return sum(len(str(item.get("content", "")).split()) for item in items if isinstance(item, dict))

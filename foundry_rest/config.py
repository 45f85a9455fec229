"""Every setting, its default and its reason, and the one place that reads the environment."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Literal, TypeVar
from urllib.parse import urlsplit

import msgspec

from foundry_rest.checks import (
    address_of,
    flag,
    instance_of,
    plain_host,
    positive_seconds,
    whole_number,
    whole_number_or_auto,
)
from foundry_rest.errors import ConfigError
from foundry_rest.schema.request import check_model_name
from foundry_rest.timeouts import LONGEST_TIMEOUT, Timeouts

T = TypeVar("T")

#: Equal to ``foundry_rest.__version__``, which reads files; a service is told it.
VERSION = "0.1.0"
#: An alias of the public catalog, small enough for most machines.
DEFAULT_MODEL = "phi-4-mini"
#: The default of 2.x; sent always, as older services silently stop at 512 (docs/reference/service.md, section
#: 7.1).
DEFAULT_MAX_TOKENS = 2048
#: Concurrent calls, and pooled connections: enough for 64 threads. The service accepts any number, but they
#: share one core (docs/reference/service.md, section 10.2), so a program that needs low latency sets fewer.
MAX_CONCURRENCY = 64
#: Longest wait for a slot in a call without a deadline, so that every wait is bounded.
SLOT_TIMEOUT = 600.0
#: Attempts after the first one.
RETRIES = 3
#: Further requests when an answer does not match its type: models that correct it at all do so at once.
MAX_REASKS = 2
#: Model turns in one run_tools(). Few prompts need more than three calls in a row; a model that calls the
#: same function for ever is stopped within a minute.
MAX_TURNS = 8
#: The names of this machine: RFC 6761's, and those that systems write into /etc/hosts.
_LOOPBACK_NAME = r"(.+\.)?localhost|localhost[46]?(\.localdomain[46]?)?|ip6-(loopback|localhost)"
#: What stands between two base URLs; a path may have a comma of its own.
_NEXT_URL = r"\s*,\s*(?=https?://)"
#: Routes of the service itself, as OpenAI's and Microsoft's ``endpoint``, `foundry service status` and people
#: who copy a request's address give them.
_ROUTE = (
    r"/(v1(/(chat/completions|completions|models|embeddings|responses))?"
    r"|openai(/(status|models|loadedmodels))?|status)"
)
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class EnvironmentKey(str):
    """A key that the environment gave, and not the program: it goes to no address that was only found."""

    __slots__ = ()


class Config(msgspec.Struct, frozen=True):
    """Every setting of a client.

    Attributes:
        endpoint: Base URL, or several with commas between them; ``None`` to discover the service.
        model: Default model, alias or id.
        api_key: Key that is sent as a Bearer token; never logged, not part of ``repr``.
        timeouts: Bounds of one attempt.
        deadline: Seconds for a whole call; infinity for no bound.
        retries: Attempts after the first one; 0 for none.
        log_level: Level that ``configure_logging()`` and the command line use.
        max_tokens: Limit that is sent when a call gives none.
        auto_load: Whether a model that is on disk but not in memory is loaded and the call repeated.
        max_concurrency: Most concurrent calls and open streams; ``"auto"`` to find the number out.
        auto_start: Whether the ``foundry`` command starts the service when none is found, once per process.
    """

    endpoint: str | None = None
    model: str = DEFAULT_MODEL
    api_key: str | None = None
    timeouts: Timeouts = msgspec.field(default_factory=Timeouts)
    deadline: float = math.inf
    retries: int = RETRIES
    log_level: str = "INFO"
    max_tokens: int = DEFAULT_MAX_TOKENS
    auto_load: bool = True
    max_concurrency: int | Literal["auto"] = MAX_CONCURRENCY
    auto_start: bool = False

    def __post_init__(self) -> None:
        instance_of("timeouts", self.timeouts, Timeouts)
        for name in ("auto_load", "auto_start"):
            flag(name, getattr(self, name))
        if self.deadline != math.inf:
            positive_seconds("deadline", self.deadline)
        whole_number("retries", self.retries, 0)
        whole_number("max_tokens", self.max_tokens, 1)
        whole_number_or_auto("max_concurrency", self.max_concurrency)
        check_model_name(self.model)
        if self.api_key is not None:
            checked_key(self.api_key)
        if self.log_level not in LOG_LEVELS:
            raise ConfigError(f"log_level must be one of {', '.join(LOG_LEVELS)}, not {self.log_level!r}")
        if self.endpoint is not None:
            base_urls(self.endpoint)

    @property
    def most_calls(self) -> int:
        """Return how many calls there may be at a time at most."""
        return MAX_CONCURRENCY if self.max_concurrency == "auto" else self.max_concurrency

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Return the settings that ``repr`` shows: all but the key."""
        return [(name, getattr(self, name)) for name in self.__struct_fields__ if name != "api_key"]

    def __repr__(self) -> str:
        return f"Config({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    def with_changes(self, **changes: object) -> Config:
        """Return a copy with every change that is not ``None``."""
        given = {name: value for name, value in changes.items() if value is not None}
        return msgspec.structs.replace(self, **given) if given else self

    def with_timeout(self, timeout: float | Timeouts | None) -> Config:
        """Return a copy with ``timeout`` as the longest silence; ``None`` changes nothing."""
        if timeout is None:
            return self
        return msgspec.structs.replace(self, timeouts=self.timeouts.with_silence(timeout))


def from_env(environ: Mapping[str, str] | None = None) -> Config:
    """Return the settings of the ``FOUNDRY_*`` variables; an empty value counts as not set.

    Raises:
        ConfigError: A value cannot be used; the error names the variable, the value and what is allowed.
    """
    source = os.environ if environ is None else environ
    changes: dict[str, object] = {}
    for variable, (name, parse) in _VARIABLES.items():
        text = source.get(variable, "").strip()
        if text:
            changes[name] = _parse_variable(variable, text, parse)
    return Config(**changes)  # type: ignore[arg-type]


def base_url(text: object) -> str:
    """Return a base URL as ``scheme://host[:port][/path]`` without a trailing slash.

    ``0.0.0.0``, ``*`` and ``[::]``, which a service binds but a client cannot reach, become ``127.0.0.1``.
    A path that is a route of the service (``/v1``, ``/openai/status``) is removed; any other stays as it is.

    >>> base_url("http://0.0.0.0:5273/v1"), base_url("https://h/api/v3/")
    ('http://127.0.0.1:5273', 'https://h/api/v3')

    Raises:
        ConfigError: It has no scheme, no host, a bad port, a user or password, a query or a fragment.
    """
    text = text.strip() if isinstance(text, str) else " "
    if " " in text or not text.isprintable():  # of all spaces this one alone is printable
        raise ConfigError("base_url must be text such as 'http://127.0.0.1:5273', without spaces")
    # In the whole text: a misspelt URL is parsed differently, and its password must not be shown either.
    if "@" in text:
        raise ConfigError("base_url must not hold a user or password; give api_key= or auth= instead")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"base_url cannot be read: {error}") from None
    if parts.scheme not in ("http", "https") or not host or "," in parts.netloc:
        raise ConfigError(f"base_url must start with http:// or https:// and name a host, not {text!r}")
    if parts.query or parts.fragment:
        raise ConfigError("base_url must not hold a query or a fragment")
    host = "127.0.0.1" if _is_unspecified(host) else host
    netloc = (f"[{host}]" if ":" in host else host) + (f":{port}" if port is not None else "")
    path = parts.path.rstrip("/")
    return f"{parts.scheme}://{netloc}{'' if path and re.fullmatch(_ROUTE, path) else path}"


def base_urls(text: object) -> tuple[str, ...]:
    """Return the base URLs that a text names, with commas between them.

    >>> base_urls("http://a:5273/v1, http://b:5273")
    ('http://a:5273', 'http://b:5273')

    Raises:
        ConfigError: One of them is no base URL, or is there twice.
    """
    parts = re.split(_NEXT_URL, text) if isinstance(text, str) and "," in text else (text,)
    urls = [base_url(each) for each in parts]
    twice = next((url for url in urls if urls.count(url) > 1), None)
    if twice is not None:
        raise ConfigError(f"{twice} is named twice: each service once")
    return tuple(urls)


@lru_cache(maxsize=64)  # used in every call, for a handful of addresses
def is_loopback(url: str) -> bool:
    """Return whether an address is on this machine, in whichever spelling.

    >>> is_loopback("http://127.1:80"), is_loopback("http://[::ffff:127.0.0.1]"), is_loopback("http://192.0.2.7")
    (True, True, False)
    """
    host = plain_host(urlsplit(url).hostname or "")
    address = address_of(host)
    return re.fullmatch(_LOOPBACK_NAME, host) is not None if address is None else address.is_loopback


def _is_unspecified(host: str) -> bool:
    """Return whether a host means every interface: a service binds it, but a client cannot connect to it."""
    address = address_of(plain_host(host))
    return host == "*" if address is None else address.is_unspecified


def _timeouts(text: str) -> Timeouts:
    return Timeouts().with_silence(_seconds(text))


def _seconds(text: str) -> float:
    return positive_seconds("it", float(text))


def _retries(text: str) -> int:
    return whole_number("it", int(text), 0)


def checked_key(value: object) -> str:
    """Return the key if a header can hold it; the error never shows it."""
    if not isinstance(value, str) or not (value.isascii() and value.isprintable()) or " " in value:
        raise ConfigError("api_key must be printable ASCII text without spaces")
    return value


def _log_level(text: str) -> str:
    if text.upper() not in LOG_LEVELS:
        raise ValueError(text)
    return text.upper()


#: Variable -> (setting, parser).
_VARIABLES: dict[str, tuple[str, Callable[[str], object]]] = {
    "FOUNDRY_ENDPOINT": ("endpoint", lambda text: ",".join(base_urls(text))),
    "FOUNDRY_MODEL": ("model", check_model_name),
    "FOUNDRY_API_KEY": ("api_key", lambda text: EnvironmentKey(checked_key(text))),
    "FOUNDRY_TIMEOUT": ("timeouts", _timeouts),
    "FOUNDRY_DEADLINE": ("deadline", _seconds),
    "FOUNDRY_RETRIES": ("retries", _retries),
    "FOUNDRY_LOG_LEVEL": ("log_level", _log_level),
}
#: The names of the variables that are read.
VARIABLES = tuple(_VARIABLES)
_ALLOWED = {
    "FOUNDRY_ENDPOINT": "a base URL such as http://127.0.0.1:5273, or several with commas between them",
    "FOUNDRY_MODEL": f"an alias or id such as {DEFAULT_MODEL}, without spaces",
    "FOUNDRY_API_KEY": "printable ASCII without spaces",
    "FOUNDRY_TIMEOUT": f"a number of seconds above 0, at most {LONGEST_TIMEOUT:,.0f}",
    "FOUNDRY_DEADLINE": "a number of seconds above 0",
    "FOUNDRY_RETRIES": "a whole number, 0 or more",
    "FOUNDRY_LOG_LEVEL": f"one of {', '.join(LOG_LEVELS)}",
}


def _parse_variable(variable: str, text: str, parse: Callable[[str], T]) -> T:
    try:
        return parse(text)
    except ValueError as error:
        reason = f" ({error})" if isinstance(error, ConfigError) and variable == "FOUNDRY_ENDPOINT" else ""
        secret = variable == "FOUNDRY_API_KEY" or "@" in text or "?" in text
        shown = "" if secret else f"={text!r}"
        raise ConfigError(
            f"{variable}{shown} cannot be used: allowed is {_ALLOWED[variable]}{reason}"
        ) from None

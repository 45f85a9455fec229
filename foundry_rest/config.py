"""Every setting, its default and its reason, and the one place that reads the environment."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from foundry_rest.checks import flag, instance_of, positive_seconds, whole_number
from foundry_rest.errors import ConfigError
from foundry_rest.schema.request import check_model_name

T = TypeVar("T")

#: An alias of the public catalog that runs on most machines; the name the issue's users gave.
DEFAULT_MODEL = "phi-4-mini"
#: What 2.x assumes when it is told nothing; said aloud because 1.x silently stops at 512.
DEFAULT_MAX_TOKENS = 2048
#: Loopback answers in microseconds, a machine next door in milliseconds; 3 s outlasts one lost SYN.
CONNECT_TIMEOUT = 3.0
#: 2.2 sends a keep-alive comment every 0.25 s, but older services are silent during the prefill.
SILENCE_TIMEOUT = 30.0
#: Large models take minutes from a cold disk (foundry-dev-tools issue 368 saw 2 minutes).
LOAD_TIMEOUT = 600.0
#: Sockets bear no more than some billion seconds; nobody waits eleven days for a silent service.
LONGEST_TIMEOUT = 1_000_000.0
#: Calls at a time, and connections kept: what 64 threads use. The service takes any number, but all of
#: them share one core, so a program that wants answers soon asks for fewer.
MAX_CONCURRENCY = 64
#: Longest wait for a slot of a call without a deadline: no wait is without a bound.
SLOT_TIMEOUT = 600.0
#: Attempts after the first.
RETRIES = 3
#: Further questions when an answer does not fit: models that mend it at all do so at once.
MAX_REASKS = 2
#: Answers of the model in one run. Few questions need more than three calls in a row; a model that calls
#: the same function for ever is stopped within a minute.
MAX_TURNS = 8
_NOT_IN_KEY = re.compile(r"[^!-~]")
#: What a service binds to be reached on every address; nobody can connect to it.
_BOUND = ("0.0.0.0", "*", "::")  # noqa: S104 (recognised, not bound)
#: What others put behind an address: OpenAI's clients and Microsoft's ``endpoint``, `foundry service status`.
_ROUTE = re.compile(r"/(v1|openai/status)$")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class Timeouts(msgspec.Struct, frozen=True):
    """The bounds of silence in one attempt, phase by phase, in seconds.

    Attributes:
        connect: Until the connection stands.
        first_token: Longest silence before the first event or the whole plain answer.
        idle: Longest silence between two events.
        load: Longest silence while a model is loaded or unloaded.

    Raises:
        ConfigError: A value is not a number of seconds above 0 and up to 1,000,000.
    """

    connect: float = CONNECT_TIMEOUT
    first_token: float = SILENCE_TIMEOUT
    idle: float = SILENCE_TIMEOUT
    load: float = LOAD_TIMEOUT

    def __post_init__(self) -> None:
        for name in ("connect", "first_token", "idle", "load"):
            if positive_seconds(f"Timeouts.{name}", getattr(self, name)) > LONGEST_TIMEOUT:
                raise ConfigError(f"Timeouts.{name} must be at most {LONGEST_TIMEOUT:,.0f} seconds")

    @classmethod
    def of(cls, value: float | Timeouts | None) -> Timeouts:
        """Return ``value`` as timeouts: seconds of silence, a whole set, or the defaults for ``None``."""
        return cls().with_silence(value)

    def with_silence(self, value: float | Timeouts | None) -> Timeouts:
        """Return what ``timeout=`` means: a number is the silence alone, a set stands for itself."""
        if value is None:
            return self
        if isinstance(value, Timeouts):
            return value
        silence = positive_seconds("timeout", value)
        return msgspec.structs.replace(self, first_token=silence, idle=silence)


class Config(msgspec.Struct, frozen=True):
    """Every setting of a client.

    Attributes:
        endpoint: Base URL, or ``None`` to discover the service.
        model: Default model, alias or id.
        api_key: Sent as Bearer token; never logged, not part of ``repr``.
        timeouts: Bounds of one attempt.
        deadline: Seconds for a whole call; infinity for no bound.
        retries: Attempts after the first; 0 for none.
        log_level: Level that ``configure_logging()`` and the command line use.
        max_tokens: Sent when a call gives none.
        auto_load: Load a model that is on disk but not in memory, then repeat the call.
        max_concurrency: Calls and open streams at a time.
        auto_start: Have the ``foundry`` command start a service that is nowhere, once per process.
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
    max_concurrency: int = MAX_CONCURRENCY
    auto_start: bool = False

    def __post_init__(self) -> None:
        instance_of("timeouts", self.timeouts, Timeouts)
        for name in ("auto_load", "auto_start"):
            flag(name, getattr(self, name))
        if self.deadline != math.inf:
            positive_seconds("deadline", self.deadline)
        whole_number("retries", self.retries, 0)
        whole_number("max_tokens", self.max_tokens, 1)
        whole_number("max_concurrency", self.max_concurrency, 1)
        check_model_name(self.model)
        if self.api_key is not None:
            _key(self.api_key)
        if self.log_level not in LOG_LEVELS:
            raise ConfigError(f"log_level must be one of {', '.join(LOG_LEVELS)}, not {self.log_level!r}")
        if self.endpoint is not None:
            base_url(self.endpoint)

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Return what ``repr`` shows: all but the key."""
        return [(name, getattr(self, name)) for name in self.__struct_fields__ if name != "api_key"]

    def __repr__(self) -> str:
        return f"Config({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    def with_changes(self, **changes: object) -> Config:
        """Return a copy in which every change that is not ``None`` is made."""
        given = {name: value for name, value in changes.items() if value is not None}
        return msgspec.structs.replace(self, **given)

    def with_timeout(self, timeout: float | Timeouts | None) -> Config:
        """Return a copy in which ``timeout`` bounds the silence; ``None`` changes nothing."""
        if timeout is None:
            return self
        return msgspec.structs.replace(self, timeouts=self.timeouts.with_silence(timeout))


def from_env(environ: Mapping[str, str] | None = None) -> Config:
    """Read the ``FOUNDRY_*`` variables; an empty value counts as not set.

    Raises:
        ConfigError: A value cannot be used; names the variable, the value and what is allowed.
    """
    source = os.environ if environ is None else environ
    changes: dict[str, object] = {}
    for variable, (name, read) in _VARIABLES.items():
        text = source.get(variable, "").strip()
        if text:
            changes[name] = _read(variable, text, read)
    return Config(**changes)  # type: ignore[arg-type]


def base_url(text: object) -> str:
    """Return a base URL as ``scheme://host[:port][/path]`` without a trailing slash.

    ``0.0.0.0``, ``*`` and ``[::]`` are what a service binds, not where it is reached: they become
    ``127.0.0.1``. A route that other clients have in it (``/v1``, ``/openai/status``) is left out.

    >>> base_url("http://0.0.0.0:5273/v1")
    'http://127.0.0.1:5273'

    Raises:
        ConfigError: No scheme, no host, a bad port, user or password, a query or a fragment.
    """
    if not isinstance(text, str) or any(c.isspace() or not c.isprintable() for c in text.strip()):
        raise ConfigError("base_url must be text such as 'http://127.0.0.1:5273', without spaces")
    text = text.strip()
    # Looked for in the whole text: what is misspelt is parsed otherwise, and must not be shown either.
    if "@" in text:
        raise ConfigError("base_url must not hold a user or password; give api_key= or auth= instead")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"base_url cannot be read: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigError(f"base_url must start with http:// or https:// and name a host, not {text!r}")
    if parts.query or parts.fragment:
        raise ConfigError("base_url must not hold a query or a fragment")
    host = "127.0.0.1" if host in _BOUND else host
    netloc = (f"[{host}]" if ":" in host else host) + (f":{port}" if port is not None else "")
    return f"{parts.scheme}://{netloc}{_ROUTE.sub('', parts.path.rstrip('/'))}"


@lru_cache(maxsize=64)  # asked at every call, of a handful of addresses
def is_loopback(url: str) -> bool:
    """Tell whether an address stays on this machine.

    >>> is_loopback("http://127.0.0.2:80"), is_loopback("http://192.0.2.7")
    (True, False)
    """
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _timeouts(text: str) -> Timeouts:
    return Timeouts().with_silence(_seconds(text))


def _seconds(text: str) -> float:
    return positive_seconds("it", float(text))


def _retries(text: str) -> int:
    return whole_number("it", int(text), 0)


def _key(value: object) -> str:
    """Return the key if it can stand in a header; the error never shows it."""
    if not isinstance(value, str) or _NOT_IN_KEY.search(value):
        raise ConfigError("api_key must be printable ASCII text without spaces")
    return value


def _level(text: str) -> str:
    if text.upper() not in LOG_LEVELS:
        raise ValueError(text)
    return text.upper()


#: variable -> (setting, reader)
_VARIABLES: dict[str, tuple[str, Callable[[str], object]]] = {
    "FOUNDRY_ENDPOINT": ("endpoint", base_url),
    "FOUNDRY_MODEL": ("model", check_model_name),
    "FOUNDRY_API_KEY": ("api_key", _key),
    "FOUNDRY_TIMEOUT": ("timeouts", _timeouts),
    "FOUNDRY_DEADLINE": ("deadline", _seconds),
    "FOUNDRY_RETRIES": ("retries", _retries),
    "FOUNDRY_LOG_LEVEL": ("log_level", _level),
}
_ALLOWED = {
    "FOUNDRY_ENDPOINT": "a base URL such as http://127.0.0.1:5273",
    "FOUNDRY_MODEL": f"an alias or id such as {DEFAULT_MODEL}, without spaces",
    "FOUNDRY_API_KEY": "printable ASCII without spaces",
    "FOUNDRY_TIMEOUT": f"a number of seconds above 0, at most {LONGEST_TIMEOUT:,.0f}",
    "FOUNDRY_DEADLINE": "a number of seconds above 0",
    "FOUNDRY_RETRIES": "a whole number, 0 or more",
    "FOUNDRY_LOG_LEVEL": f"one of {', '.join(LOG_LEVELS)}",
}


def _read(variable: str, text: str, read: Callable[[str], T]) -> T:
    try:
        return read(text)
    except ValueError as error:
        reason = f" ({error})" if isinstance(error, ConfigError) and variable == "FOUNDRY_ENDPOINT" else ""
        secret = variable == "FOUNDRY_API_KEY" or "@" in text or "?" in text
        shown = "" if secret else f"={text!r}"
        raise ConfigError(
            f"{variable}{shown} cannot be used: allowed is {_ALLOWED[variable]}{reason}"
        ) from None

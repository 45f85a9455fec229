"""Settings: every variable, every address, and that no secret is shown."""

from __future__ import annotations

import doctest
import math

import pytest

from foundry_rest import config
from foundry_rest.checks import positive_seconds
from foundry_rest.config import Config, Timeouts, base_url, from_env, is_loopback
from foundry_rest.errors import ConfigError

SECRET = "hunter2-s3cret"


def test_defaults():
    """An empty environment gives the documented defaults."""
    assert from_env({}) == Config()
    assert (Config().endpoint, Config().model, Config().api_key) == (None, "phi-4-mini", None)
    assert (Config().timeouts.first_token, Config().deadline, Config().retries) == (30.0, math.inf, 3)
    assert (Config().log_level, Config().max_tokens, Config().auto_load) == ("INFO", 2048, True)
    assert Config().auto_start is False


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("FOUNDRY_ENDPOINT", "http://0.0.0.0:5273/", "endpoint", "http://127.0.0.1:5273"),
        ("FOUNDRY_MODEL", " qwen2.5-0.5b ", "model", "qwen2.5-0.5b"),
        ("FOUNDRY_API_KEY", SECRET, "api_key", SECRET),
        ("FOUNDRY_TIMEOUT", "2.5", "timeouts", Timeouts(first_token=2.5, idle=2.5)),
        ("FOUNDRY_DEADLINE", "90", "deadline", 90.0),
        ("FOUNDRY_RETRIES", "0", "retries", 0),
        ("FOUNDRY_LOG_LEVEL", "debug", "log_level", "DEBUG"),
    ],
)
def test_each_variable(variable, text, name, value):
    """Each variable sets its own setting and nothing else; spaces around it do not count."""
    assert from_env({variable: text}) == Config(**{name: value})


@pytest.mark.parametrize("variable", config._VARIABLES)
@pytest.mark.parametrize("text", ["", "  "])
def test_empty_is_unset(variable, text):
    """An empty variable is one that was not set."""
    assert from_env({variable: text}) == Config()


@pytest.mark.parametrize(
    ("variable", "text", "allowed"),
    [
        ("FOUNDRY_ENDPOINT", "localhost:5273", "a base URL such as http://127.0.0.1:5273"),
        ("FOUNDRY_ENDPOINT", "http://h:port", "a base URL"),
        ("FOUNDRY_MODEL", "phi 4", "an alias or id such as phi-4-mini"),
        ("FOUNDRY_TIMEOUT", "soon", "a number of seconds above 0"),
        ("FOUNDRY_TIMEOUT", "0", "a number of seconds above 0"),
        ("FOUNDRY_TIMEOUT", "nan", "a number of seconds above 0"),
        ("FOUNDRY_TIMEOUT", "1e10", "a number of seconds above 0, at most 1,000,000"),
        ("FOUNDRY_DEADLINE", "-1", "a number of seconds above 0"),
        ("FOUNDRY_DEADLINE", "inf", "a number of seconds above 0"),
        ("FOUNDRY_RETRIES", "-1", "a whole number, 0 or more"),
        ("FOUNDRY_RETRIES", "2.5", "a whole number, 0 or more"),
        ("FOUNDRY_LOG_LEVEL", "LOUD", "one of DEBUG, INFO, WARNING, ERROR, CRITICAL"),
    ],
)
def test_a_bad_variable(variable, text, allowed):
    """The error names the variable, the value and what is allowed."""
    with pytest.raises(ConfigError) as caught:
        from_env({variable: text})

    assert f"{variable}={text!r} cannot be used: allowed is {allowed}" in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("FOUNDRY_API_KEY", f"{SECRET} x"),
        ("FOUNDRY_API_KEY", f"{SECRET}\nX: y"),
        ("FOUNDRY_API_KEY", f"{SECRET}é"),
        ("FOUNDRY_ENDPOINT", f"http://me:{SECRET}@h:1"),
        ("FOUNDRY_ENDPOINT", f"me:{SECRET}@h:1"),
        ("FOUNDRY_ENDPOINT", f"http://me:{SECRET}/x@h:1"),
        ("FOUNDRY_ENDPOINT", f"http://h:1/?key={SECRET}"),
    ],
)
def test_a_bad_secret_is_not_shown(variable, text):
    """Keys, and addresses that hold a password or a query, stay out of the message."""
    with pytest.raises(ConfigError, match=variable) as caught:
        from_env({variable: text})

    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_real_environment_is_the_default(monkeypatch):
    """Without an argument the process's own variables are read."""
    monkeypatch.setenv("FOUNDRY_MODEL", "from-env")

    assert from_env().model == "from-env"


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://127.0.0.1:5273", "http://127.0.0.1:5273"),
        ("  http://h/ ", "http://h"),
        ("http://h:1//", "http://h:1"),
        ("http://h:1/a/b/", "http://h:1/a/b"),
        ("HTTPS://Example.COM", "https://example.com"),
        ("http://0.0.0.0:5273", "http://127.0.0.1:5273"),
        ("http://*:5273/v", "http://127.0.0.1:5273/v"),
        ("http://[::]:5273", "http://127.0.0.1:5273"),
        ("http://[0:0::0]:5273", "http://127.0.0.1:5273"),
        ("http://[::ffff:0.0.0.0]:5273", "http://127.0.0.1:5273"),
        ("http://0:5273", "http://127.0.0.1:5273"),
        ("http://0x0:5273", "http://127.0.0.1:5273"),
        ("http://127.1:5273", "http://127.1:5273"),
        ("http://[::1]:5273", "http://[::1]:5273"),
        ("http://[FE80::1]", "http://[fe80::1]"),
        ("http://h:", "http://h"),
    ],
)
def test_base_url(given, url):
    """An address is brought into one form; what a service binds becomes where it is reached."""
    assert base_url(given) == url
    assert base_url(url) == url


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "must be text"),
        (b"http://h", "must be text"),
        ("", "must start with http"),
        ("localhost:5273", "not 'localhost:5273'"),
        ("127.0.0.1", "not '127.0.0.1'"),
        ("ftp://h", "must start with http"),
        ("http://", "name a host"),
        ("http://:80", "name a host"),
        ("http://h:port", "cannot be read"),
        ("http://h:99999", "cannot be read"),
        ("http://[::1", "cannot be read"),
        ("http://h h", "without spaces"),
        ("http://h/\x7f", "without spaces"),
        ("http://h\n/", "without spaces"),
        ("http://h/?a=b", "query or a fragment"),
        ("http://h/#a", "query or a fragment"),
        ("http://u:p@h", "user or password"),
        ("http://u@h", "user or password"),
    ],
)
def test_a_bad_base_url(given, words):
    """What is no base URL is refused by name."""
    with pytest.raises(ConfigError, match=r"base_url (must|cannot)") as caught:
        base_url(given)

    assert words in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [f"http://me:{SECRET}@h", f"me:{SECRET}@h", f"//me:{SECRET}@h", f"http://me:{SECRET}/@h", f"{SECRET}@"],
)
def test_credentials_are_never_shown(given):
    """However misspelt, an address with a password is not repeated."""
    with pytest.raises(ConfigError) as caught:
        base_url(given)

    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://localhost:1", True),
        ("http://LOCALHOST", True),
        ("http://a.localhost", True),
        ("http://127.0.0.1:1", True),
        ("http://127.8.8.8", True),
        ("http://[::1]:1", True),
        ("http://192.0.2.7", False),
        ("http://[fe80::1]", False),
        ("http://example.com", False),
        ("http://127.0.0.1.example.com", False),
        ("http://127.example.com", False),
        ("http://notlocalhost", False),
        ("http://localhost.example.com.", False),
        ("http://128.1", False),
        ("http://10.1", False),
        ("http://2130706432.1", False),
        ("http://0xa000001", False),
        ("http://[::ffff:10.0.0.1]", False),
        ("http://[::2]", False),
        ("http://0.0.0.0", False),
        ("http://127.0.0.1.nip.io", False),
        ("http:///x", False),
    ],
)
def test_is_loopback(url, here):
    """Only what stays on this machine is loopback: a name that looks like it is not."""
    assert is_loopback(url) is here


@pytest.mark.parametrize("name", ["connect", "first_token", "idle", "load"])
def test_timeouts_are_checked(name):
    """Every phase is bounded by a positive number of seconds that a socket bears."""
    for value in (0, -1, math.nan, math.inf, "3", None, True, 1_000_001, 10**400):
        with pytest.raises(ConfigError, match=f"Timeouts.{name}"):
            Timeouts(**{name: value})


def test_timeouts_of():
    """Seconds bound the silence, a set is taken as it is, nothing means the defaults."""
    given = Timeouts(connect=1)

    assert Timeouts.of(5) == Timeouts(first_token=5.0, idle=5.0)
    assert Timeouts.of(given) is given
    assert Timeouts.of(None) == Timeouts()
    with pytest.raises(ConfigError, match="timeout must be a number of seconds above 0, not 'x'"):
        Timeouts.of("x")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"deadline": 0}, "deadline must be a number of seconds above 0"),
        ({"deadline": -math.inf}, "deadline"),
        ({"retries": -1}, "retries must be a whole number, 0 or more, not -1"),
        ({"retries": True}, "retries"),
        ({"retries": 1.0}, "retries"),
        ({"max_tokens": 0}, "max_tokens must be a whole number, 1 or more, not 0"),
        ({"log_level": "debug"}, "log_level must be one of DEBUG"),
        ({"endpoint": "h"}, "base_url must start with"),
        ({"model": ""}, "model must be an alias or id"),
        ({"api_key": "a b"}, "api_key must be printable ASCII"),
        ({"api_key": 7}, "api_key must be printable ASCII"),
    ],
)
def test_a_bad_setting(settings, words):
    """Settings given in code are checked as the variables are."""
    with pytest.raises(ConfigError, match=words):
        Config(**settings)


def test_changes_leave_the_rest():
    """Only what is not None changes; a deadline is lifted by infinity."""
    given = Config(deadline=5.0, model="m")

    assert given.with_changes(model=None, retries=1) == Config(deadline=5.0, model="m", retries=1)
    assert given.with_changes(deadline=math.inf) == Config(model="m")


def test_the_key_is_not_part_of_the_repr():
    """A printed configuration gives no key away."""
    assert SECRET not in repr(Config(api_key=SECRET))


def test_positive_seconds_are_floats():
    """Whole numbers are taken too, and come back as seconds."""
    assert type(positive_seconds("x", 2)) is float


def test_the_examples_in_docstrings_hold():
    """What the docstrings show is what happens."""
    results = doctest.testmod(config)

    assert results.attempted >= 2
    assert results.failed == 0

"""`Timeouts.adaptive()`: what it holds, what it refuses, and what a number means beside it."""

from __future__ import annotations

import math
import pickle

import pytest

from foundry_rest import Config, ConfigError, FoundryAPIClient, Timeouts
from foundry_rest.timeouts import AdaptiveTimeouts
from foundry_rest.transport.call import Options

ADDRESS = "http://127.0.0.1:9"


def test_who_does_not_adapt_uses_the_ceilings():
    """The silences are the ceilings, so that whatever knows nothing of adapting is on the safe side."""
    adaptive = Timeouts.adaptive(floor=2, ceiling=60, connect=1, load=300)

    assert (adaptive.connect, adaptive.first_token, adaptive.idle, adaptive.load) == (1, 60, 60, 300)
    assert adaptive.floor == 2


def test_the_defaults():
    """At least 5 s, at most 120; connecting and loading as always."""
    adaptive, fixed = Timeouts.adaptive(), Timeouts()

    assert (adaptive.floor, adaptive.first_token, adaptive.idle) == (5.0, 120.0, 120.0)
    assert (adaptive.connect, adaptive.load) == (fixed.connect, fixed.load)


def test_a_value():
    """It can be pickled and compared, and prints as one line."""
    adaptive = Timeouts.adaptive(floor=2)

    assert pickle.loads(pickle.dumps(adaptive)) == adaptive != Timeouts.adaptive()
    assert "\n" not in repr(adaptive)
    assert "floor=2" in repr(adaptive)
    with pytest.raises(AttributeError):
        adaptive.floor = 3


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"floor": 0}, "floor must be a number of seconds above 0, not 0"),
        ({"floor": "5"}, "floor must be a number of seconds above 0, not '5'"),
        ({"floor": math.nan}, "floor must be a number of seconds above 0, not nan"),
        ({"floor": True}, "floor must be a number of seconds above 0, not True"),
        ({"ceiling": -1}, "ceiling must be a number of seconds above 0, not -1"),
        ({"ceiling": None}, "ceiling must be a number of seconds above 0, not None"),
        ({"ceiling": math.inf}, "ceiling must be a number of seconds above 0, not inf"),
        ({"ceiling": 2e6}, "must be at most 1,000,000 seconds"),
        ({"floor": 10, "ceiling": 9}, "floor must be at most the ceiling of 9 seconds, not 10"),
        ({"connect": 0}, "connect must be a number of seconds above 0, not 0"),
        ({"load": 0}, "load must be a number of seconds above 0, not 0"),
    ],
)
def test_wrong_values(given, complaint):
    """A wrong value is refused in words that name it."""
    with pytest.raises(ConfigError) as caught:
        Timeouts.adaptive(**given)

    assert complaint in str(caught.value)


def test_a_number_wins():
    """Seconds for a call, or for a view, are fixed seconds, whatever the client has."""
    fixed = Timeouts.adaptive(connect=1, load=300).with_silence(7)

    assert fixed == Timeouts(connect=1, first_token=7, idle=7, load=300)
    assert not isinstance(fixed, AdaptiveTimeouts)


def test_it_replaces_the_environment(monkeypatch):
    """Given to a client it takes the place of FOUNDRY_TIMEOUT."""
    monkeypatch.setenv("FOUNDRY_TIMEOUT", "7")
    with FoundryAPIClient(ADDRESS, timeout=Timeouts.adaptive(floor=2)) as client:
        assert client._spec.config.timeouts == Timeouts.adaptive(floor=2)


def test_a_load_is_not_adapted():
    """What may take as long as a load has that silence, fixed."""
    timeouts = Options(Timeouts.adaptive()).patient().timeouts

    assert timeouts == Timeouts(first_token=600, idle=600)
    assert not isinstance(timeouts, AdaptiveTimeouts)


def test_a_single_call_cannot_follow():
    """One call of a client with fixed time-outs has nothing to follow; the error says who has."""
    with FoundryAPIClient(ADDRESS) as client, pytest.raises(ConfigError) as caught:
        client.complete("Hi", timeout=Timeouts.adaptive())

    assert "this client's time-outs are fixed" in str(caught.value)
    assert "client.with_options(timeout=)" in str(caught.value)


def test_a_config():
    """It is a set of timeouts like any other in the settings."""
    assert isinstance(Config(timeouts=Timeouts.adaptive()).timeouts, AdaptiveTimeouts)

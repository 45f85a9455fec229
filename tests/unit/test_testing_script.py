"""Scripts are values: they compose, they can be cut, and they tell every byte they will send."""

from __future__ import annotations

import pickle
import threading

import pytest

from foundry_rest.testing import answer, cut, die, dribble, hold, paced, pause, reset, send, split, stall
from foundry_rest.testing.script import End, Script, Send, Silence, as_script


class Wire:
    """Write down what the steps ask for."""

    def __init__(self):
        self.done = []

    def send(self, data):
        """Note the bytes."""
        self.done.append(data)

    def wait(self, seconds, gate=None):
        """Note the silence."""
        self.done.append((seconds, gate))

    def cut(self):
        """Note the end."""
        self.done.append("cut")

    def reset(self):
        """Note the end."""
        self.done.append("reset")

    def die(self):
        """Note the end."""
        self.done.append("die")


def played(script):
    """Return what a script asks of its wire."""
    wire = Wire()
    for step in as_script(script):
        step.play(wire)
    return wire.done


def test_every_constructor_asks_the_wire_for_its_one_thing():
    """Each basic constructor is one step, and the step does what its name says."""
    gate = threading.Event()
    script = send(b"a") + pause(0.5) + stall() + hold(gate) + hold(gate, 2.0) + cut() + reset() + die()

    assert played(script) == [
        b"a",
        (0.5, None),
        (None, None),
        (None, gate),
        (2.0, gate),
        "cut",
        "reset",
        "die",
    ]


def test_scripts_and_tuples_of_them_join_in_any_mixture():
    """``+`` takes scripts and tuples on either side, and tuples may be nested."""
    one, two = send(b"1"), send(b"2")
    front, back = (one, two), (two, one)

    assert front + one == one + back == as_script((one, back)) == one + two + one
    assert len(Script()) == 0


def test_what_is_no_script_is_refused_at_once():
    """A wrong value fails where it is given, not later in the server's thread."""
    with pytest.raises(TypeError, match="not bytes"):
        as_script(b"HTTP/1.1 200 OK")


def test_a_slice_takes_steps_and_data_tells_the_bytes():
    """Step 0 of an answer is its head; ``data`` is what would be sent in all."""
    script = answer(200, b"{}") + pause(1) + cut()

    assert script[:1].data.endswith(b"\r\n\r\n")
    assert script[1:2].data == b"{}"
    assert script[:1].data + script[1:].data == script.data


def test_dribble_sends_single_bytes_and_keeps_the_other_steps():
    """Each byte is followed by its pause; a cut at the end of a script stays there."""
    assert dribble(b"ab", 0.01).steps == (Send(b"a"), Silence(0.01), Send(b"b"), Silence(0.01))
    assert dribble(send(b"a") + cut(), 0.01).steps == (Send(b"a"), Silence(0.01), End("cut"))


@pytest.mark.parametrize(("at", "parts"), [(0, (b"", b"abcd")), (3, (b"abc", b"d")), (-1, (b"abc", b"d"))])
def test_split_makes_exactly_two_packets(at, parts):
    """All bytes of all steps count as one text; a negative place counts from the end."""
    script = split(send(b"ab") + send(b"cd") + cut(), at, gap=0.01)

    assert script.steps == (Send(parts[0]), Silence(0.01), Send(parts[1]), End("cut"))


def test_paced_pauses_after_each_sending_step_only():
    """Silences and ends get no pause of their own."""
    assert paced(send(b"a") + cut(), 0.01).steps == (Send(b"a"), Silence(0.01), End("cut"))


def test_scripts_are_values():
    """Equal steps make equal, hashable and picklable scripts, so that they can be shared and compared."""
    script = answer(200, b"{}") + pause(1)

    assert script == pickle.loads(pickle.dumps(script)) == answer(200, b"{}") + pause(1)
    assert hash(script) == hash(answer(200, b"{}") + pause(1))

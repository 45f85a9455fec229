"""The state of a service from single observations: it follows what lasts, and nothing else."""

from __future__ import annotations

import pytest

from foundry_rest.ops.hysteresis import Hysteresis


def states(observed, **settings):
    """Return the state after each observation, by its first letter."""
    hysteresis = Hysteresis(**settings)
    names = {"u": "up", "g": "degraded", "d": "down"}
    letters = {name: letter for letter, name in names.items()}
    shown = ""
    for letter in observed:
        before = hysteresis.state
        assert hysteresis.step(names[letter]) is (hysteresis.state != before)
        shown += letters[hysteresis.state]
    return shown


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        ("u", "u"),
        ("d", "d"),
        ("udd", "uuu"),
        ("uddd", "uuud"),
        ("uddudd", "uuuuuu"),
        ("udgd", "uuug"),
        ("udgddd", "uuuggg"),
        ("udgdddd", "uuugggd"),
        ("uddduu", "uuuddu"),
        ("udddudu", "uuudddd"),
        ("ddddgu", "dddddg"),
        ("dduu", "dddu"),
        ("gug", "ggg"),
        ("guu", "ggu"),
        ("gdgu", "gggg"),
        ("gdudu", "ggggg"),
    ],
)
def test_states(observed, expected):
    """Three worse ones in a row, or two better ones, change it to the nearest of them; the first counts."""
    assert states(observed) == expected


def test_other_numbers():
    """With one each, every observation counts."""
    assert states("udgu", rise=1, fall=1) == "udgu"

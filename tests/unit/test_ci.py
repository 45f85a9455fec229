"""The gate's own scripts: a bad wheel is told."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

CI = Path(__file__).parents[2] / ".ci"
WHEEL = runpy.run_path(str(CI / "check_wheel.py"))

GOOD = {
    "foundry_rest/__init__.py": 1,
    "foundry_rest/demo_model/demo-chat/model.onnx": 1_500_000,
    "foundry_rest-1.0.dist-info/METADATA": 1,
}


@pytest.mark.parametrize(
    ("sizes", "faults"),
    [
        (GOOD, []),
        (GOOD | {"tests/conftest.py": 1}, ["not ours: ['tests/conftest.py']"]),
        (
            GOOD | {"foundry_rest/demo_model/demo-chat/more": 1},
            ["the model takes 1,500,001 bytes, not 1 to 1,500,000"],
        ),
        (
            {},
            [
                "not in the wheel: ['foundry_rest/__init__.py']",
                "the model takes 0 bytes, not 1 to 1,500,000",
            ],
        ),
    ],
)
def test_wheel_rule(sizes, faults):
    """A wheel holds every module, nothing foreign, and a model of at most 1.5 MB."""
    assert WHEEL["faults"](sizes, {"foundry_rest/__init__.py"}) == faults

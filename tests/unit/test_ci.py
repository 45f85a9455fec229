"""The gate's own scripts: the lowest versions are setup.cfg's, and a bad wheel is told."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

CI = Path(__file__).parents[2] / ".ci"
LOWEST = runpy.run_path(str(CI / "lowest.py"))
WHEEL = runpy.run_path(str(CI / "check_wheel.py"))

SETUP = """
[options]
install_requires =
    plain>=1.2
    # a comment
    capped<3, >=2.7
[options.extras_require]
more =
    dotted.name[extra]>=3.0.1
    marked>=5; python_version>="3.11"
other =
    unbound
"""


def test_lowest_versions():
    """Each lower bound becomes a pin; caps and extras are left out, a marker stays."""
    assert LOWEST["pins"](SETUP) == ["plain==1.2", "capped==2.7"]
    assert LOWEST["pins"](SETUP, "more")[2:] == ["dotted.name==3.0.1", 'marked==5; python_version>="3.11"']


def test_lowest_version_must_be_told():
    """A requirement without a lower bound is refused by its name: there is nothing to test it on."""
    with pytest.raises(ValueError, match="unbound"):
        LOWEST["pins"](SETUP, "other")


def test_every_requirement_has_a_lowest_version():
    """setup.cfg bounds all that the package requires, and what its extras for users add."""
    pins = LOWEST["pins"](LOWEST["SETUP"].read_text(encoding="utf-8"), "cli", "redis", "runtime")

    assert {pin.partition("==")[0] for pin in pins} >= {"requests", "msgspec", "rich", "foundry-local-sdk"}


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

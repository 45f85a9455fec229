"""The gate's own scripts: the lowest versions are setup.cfg's, and a bad wheel is told."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from support import variants, wine

CI = Path(__file__).parents[2] / ".ci"
LOWEST = runpy.run_path(str(CI / "lowest.py"))
WINDOWS = runpy.run_path(str(CI / "windows"))
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


# ---------------------------------------------------------------- Windows' CPython


def test_few_tests_are_left_out_under_wine():
    """At most fifteen, each of which is there and has its reason."""
    assert len(wine.LEFT_OUT) <= 15
    for start, reason in wine.LEFT_OUT.items():
        file, _, name = start.partition("::")
        text = (CI.parent / "tests" / "unit" / file).read_text("utf-8")
        assert f"def {name.partition('[')[0]}" in text
        assert reason


def test_a_test_is_found_by_the_beginning_of_its_id():
    """With the separators of either system, and no other test with it."""
    start, reason = next(row for row in wine.LEFT_OUT.items() if "::" in row[0])
    assert wine.reason(f"tests/unit/{start}[x]") == reason
    assert wine.reason(f"tests\\unit\\{start}") == reason
    assert wine.reason("tests/unit/test_ci.py::test_lowest_versions") is None


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 23, 100])
def test_some_variants_of_each_test_are_run(count):
    """All of a few; of many the first, the last and some between, and of every test at least one."""
    names = [*(f"a.py::test_x[{each}]" for each in range(count)), "a.py::test_y", "b.py::test_x[1]"]
    taken = variants.sample(names)

    assert {0, count - 1, count, count + 1} <= taken
    assert len(taken) == min(count, variants.VARIANTS) + 2


@pytest.mark.parametrize(
    ("code", "said", "is_crash"),
    [
        (0, "8 passed in 3.10s", False),
        (1, "1 failed, 7 passed in 3.10s", False),
        (2, "1 error in 0.50s", False),
        (1, "+++++ Timeout +++++\nStack of MainThread", False),
        (-99, "8 passed in 3.10s", True),
        (5, "wine: Unhandled page fault", True),
        (139, "", True),
    ],
)
def test_a_crash_of_wine_is_no_failure_of_a_test(code, said, is_crash):
    """Only a run without a summary, in which no test took too long, is Wine's own."""
    assert WINDOWS["is_crash"](code, said) is is_crash


def test_the_files_are_shared(tmp_path):
    """Every file is in one part, and the parts are of about the same size."""
    files = [tmp_path / str(number) for number in range(10)]
    for number, file in enumerate(files):
        file.write_bytes(b"x" * number)
    parts = WINDOWS["share"](files, 3)

    assert sorted(file for part in parts for file in part) == sorted(files)
    assert {len(part) for part in parts} == {3, 4}

"""The project's own files agree with each other: version, change log, licence, README, suppressions."""

from __future__ import annotations

import doctest
import importlib
import os
import re
import tokenize
from io import StringIO
from pathlib import Path

import pytest
from support.project import ROOT, read, setup_cfg

PYTHON_FOLDERS = ("foundry_rest", "tests", "examples", "benchmarks", "tools", ".ci")
CONFTEST = ROOT / "tests" / "conftest.py"


def python_files() -> list[Path]:
    """Return every Python file of the project."""
    return [path for folder in PYTHON_FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]


# ------------------------------------------------------------------------------ version and change log


def headings(changelog: str) -> list[str]:
    """Return what the second-level headings of a change log name, newest first."""
    return re.findall(r"^## \[?([^\]\s]+)", changelog, re.MULTILINE)


def numbers(version: str) -> tuple[int, ...]:
    """Return a version in a form that can be compared."""
    return tuple(int(number) for number in version.split("."))


def version_fits(version: str, changelog: str) -> bool:
    """Tell whether the newest heading is this version, or is Unreleased above none newer than it."""
    newest, *older = headings(changelog) or [""]
    if newest != "Unreleased":
        return newest == version
    return not older or numbers(older[0]) <= numbers(version)


def test_version_and_changelog_agree():
    """The version in setup.cfg is what the change log's newest heading speaks of."""
    version = setup_cfg()["metadata"]["version"]

    assert version_fits(version, read("CHANGELOG.md")), (version, headings(read("CHANGELOG.md")))


def test_package_tells_its_version():
    """``foundry_rest.__version__``, and what it tells a service, is the version in setup.cfg."""
    package, sent = importlib.import_module("foundry_rest"), importlib.import_module("foundry_rest.config")

    assert package.__version__ == sent.VERSION == setup_cfg()["metadata"]["version"]


@pytest.mark.parametrize(
    ("version", "changelog", "fits"),
    [
        ("0.1.0", "# Changes\n\n## [0.1.0] - 2026-11-22\n", True),
        ("0.1.0", "## 0.1.0\n\n### Added\n", True),
        ("0.1.0", "## [Unreleased]\n", True),
        ("0.2.0", "## [Unreleased]\n\n## [0.1.0]\n", True),
        ("0.10.0", "## [Unreleased]\n\n## [0.9.0]\n", True),
        ("0.2.0", "## [0.1.0]\n", False),
        ("0.1.0", "## [Unreleased]\n\n## [0.2.0]\n", False),
        ("0.1.0", "no heading\n", False),
    ],
)
def test_version_rule(version, changelog, fits):
    """A release has its own heading on top; work towards the next one stands under Unreleased."""
    assert version_fits(version, changelog) is fits


# ------------------------------------------------------------------------------ licence, packaging, gate


def test_licence_is_mit():
    """The licence is MIT, in the file and in the metadata."""
    text = read("LICENSE")

    assert text.startswith("MIT License\n\nCopyright (c) 2026 foundry_rest contributors\n")
    assert "without restriction" in text
    assert setup_cfg()["metadata"]["license"] == "MIT"


def test_package_data_exists():
    """Every pattern of package_data fits at least one file, so that the wheel lacks nothing."""
    patterns = setup_cfg()["options.package_data"]["foundry_rest"].split()
    package = ROOT / "foundry_rest"

    assert [pattern for pattern in patterns if not list(package.glob(pattern))] == []


def test_console_script_exists():
    """What the console script names can be imported."""
    module, name = setup_cfg()["options.entry_points"]["console_scripts"].split("=")[1].strip().split(":")

    assert callable(getattr(importlib.import_module(module), name))


def test_gate_can_be_run():
    """The gate is a script that can be run as it lies."""
    gate = ROOT / ".ci" / "run"

    assert os.access(gate, os.X_OK)
    assert read(".ci/run").startswith("#!/usr/bin/env bash\n")


# ------------------------------------------------------------------------------ suppressions


BARE = re.compile(r"type:\s*ignore(?!\[[a-z])")


def bare_ignores(text: str) -> list[int]:
    """Return the lines of comments that silence the type checker without saying which error."""
    if not BARE.search(text):  # nearly every file: to read one token by token costs milliseconds
        return []
    tokens = tokenize.generate_tokens(StringIO(text).readline)
    return [
        token.start[0] for token in tokens if token.type == tokenize.COMMENT and BARE.search(token.string)
    ]


def test_every_ignore_has_a_code():
    """No comment silences the type checker without naming the error."""
    found = [f"{path}:{line}" for path in python_files() for line in bare_ignores(path.read_text("utf-8"))]

    assert found == []


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("x = 1  # type: ignore\n", [1]),
        ("\nx = 1  # type:ignore because\n", [2]),
        ("x = 1  # type: ignore[arg-type]\n", []),
        ("x = '# type: ignore'\n", []),
    ],
)
def test_ignore_rule(text, lines):
    """Only comments count, and a code in brackets is what makes one good."""
    assert bare_ignores(text) == lines


# ------------------------------------------------------------------------------ what the documents show


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def between(text: str, marker: str) -> str:
    """Return what stands between a document's markers, as .ci/run reads it."""
    return text.partition(f"<!-- {marker} -->")[2].partition(f"<!-- /{marker} -->")[0]


@pytest.mark.parametrize("language", ["python", "console"])
def test_readme_shows_code(language):
    """README shows how to use the package and which commands to run."""
    assert blocks(read("README.md"), language)


@pytest.mark.parametrize("marker", ["test-command", "demo-command"])
def test_readme_marks_its_commands(marker):
    """README marks the commands that the gate runs as written: one console block each."""
    (command,) = blocks(between(read("README.md"), marker), "console")

    assert command.strip()


def documented() -> list[str]:
    """Return the names of the package's modules that hold doctests."""
    paths = [path for path in python_files() if path.is_relative_to(ROOT / "foundry_rest")]
    # Those that need a client have a test of their own: test_docstring_examples.py.
    example = re.compile(r">>> (?!.*\bclient\b)")
    modules = [path for path in paths if example.search(path.read_text(encoding="utf-8"))]
    return [str(path.relative_to(ROOT).with_suffix("")).replace(os.sep, ".") for path in modules]


@pytest.mark.parametrize("name", documented())
def test_doctests(name):
    """The examples in docstrings are true."""
    failed, tried = doctest.testmod(importlib.import_module(name.removesuffix(".__init__")))

    assert tried
    assert not failed


# ------------------------------------------------------------------------------ tests/conftest.py

SKIPPING = """
import pytest

@pytest.mark.runtime
def test_marked():
    pytest.skip("no runtime here")

@pytest.mark.runtime
@pytest.mark.skipif(True, reason="too old a Python")
def test_marked_and_skipped_before():
    pass

@pytest.mark.runtime
@pytest.mark.xfail(reason="known")
def test_expected_to_fail():
    assert False

def test_unmarked():
    pytest.skip("for another reason")
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """Return an empty project with this project's conftest."""
    pytester.makeconftest(CONFTEST.read_text(encoding="utf-8").replace('pytest_plugins = ["pytester"]', ""))
    pytester.makeini("[pytest]\nmarkers = runtime\n")
    return pytester


def test_runtime_may_be_missing(project):
    """Without the demand, a runtime test may be skipped."""
    project.makepyfile(SKIPPING)

    project.runpytest().assert_outcomes(skipped=3, xfailed=1)


def test_runtime_may_not_be_missing_when_required(project, monkeypatch):
    """FOUNDRY_REQUIRE_RUNTIME=1 makes a skipped runtime test fail, with the reason; others may be skipped."""
    monkeypatch.setenv("FOUNDRY_REQUIRE_RUNTIME", "1")
    project.makepyfile(SKIPPING)
    result = project.runpytest()

    result.assert_outcomes(failed=1, errors=1, skipped=1, xfailed=1)
    result.stdout.fnmatch_lines_random(
        ["*was left out: *no runtime here*", "*was left out: *too old a Python*"]
    )


def test_whole_module_may_not_be_missing_when_required(project, monkeypatch):
    """A module skipped whole fails too, for nobody knows which marks it held."""
    monkeypatch.setenv("FOUNDRY_REQUIRE_RUNTIME", "1")
    project.makepyfile("import pytest\npytest.importorskip('foundry_no_such_module')\n")
    result = project.runpytest()

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*was left out: *foundry_no_such_module*"])


#: How a test is left out -> the line that names it.
LEFT_OUT = {
    "pytest.skip('needs redis-server: apt-get install it')": "needs redis-server: apt-get install it",
    "pytest.importorskip('foundry_no_such_module')": "*foundry_no_such_module*",
    "pytest.importorskip('foundry_none', reason='needs it: pip install it')": "needs it: pip install it",
}


@pytest.mark.parametrize("call", LEFT_OUT)
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("arguments", [(), ("-q", "-q")])
def test_nothing_is_left_out_in_silence(project, call, whole, arguments):
    """What is missing on the machine is named at the end with its line: for a test, and for a module."""
    made = call.replace("')", "', allow_module_level=True)") if whole and "skip('" in call[:13] else call
    body = f"import pytest\n{made}\n" if whole else f"import pytest\ndef test_it():\n    {call}\n"
    project.makepyfile(body)
    result = project.runpytest(*arguments)

    result.stdout.fnmatch_lines(["*left out on this machine*", f"1 x {LEFT_OUT[call]}"])


def test_nothing_left_out_is_not_mentioned(project):
    """Where nothing was left out, nothing is said."""
    project.makepyfile("def test_it(): pass")

    project.runpytest().stdout.no_fnmatch_line("*left out*")


#: The programs that tests start, and where their names are.
PROGRAMS = {
    "redis-server": "test_redis.py",
    "openssl": "test_runtime_download.py",
    "bash": "test_cli_runtime.py",
    "strace": "test_privacy.py",
    "chromium": "test_batch_report.py",
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_has_its_line(program):
    """The reason for which a program's tests are left out holds the line that installs it."""
    source = (ROOT / "tests" / "integration" / PROGRAMS[program]).read_text(encoding="utf-8")

    assert f"needs {program}: apt-get install {program}" in source


def test_outer_settings_do_not_reach_a_test(project, monkeypatch):
    """Settings, proxies and the real home stay outside, whatever the scope of the fixture that looks."""
    for name in ("FOUNDRY_ENDPOINT", "https_proxy", "NO_PROXY", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "outer")
    home = os.environ["HOME"]
    project.makepyfile(f"""
        import os, pytest

        def clean():
            return "outer" not in os.environ.values() and os.environ["HOME"] != {home!r}

        @pytest.fixture(scope="session")
        def wide():
            return clean()

        def test_clean(wide):
            assert wide and clean()
            assert os.listdir(os.environ["HOME"]) == ["run"]
            assert os.environ["XDG_RUNTIME_DIR"].startswith(os.environ["HOME"])
    """)

    project.runpytest().assert_outcomes(passed=1)


def test_windows_commands_are_the_same():
    """README's two commands for PowerShell and cmd are those for a POSIX shell, in their spelling."""
    text = (ROOT / "README.md").read_text("utf-8")
    posix = re.findall(r"^\$ (python -m venv .*)$", text, re.MULTILINE)
    shown = text[text.index("<!-- windows-commands -->") : text.index("<!-- /windows-commands -->")]
    cmd = [line.replace("/", "\\").replace(".venv\\bin", ".venv\\Scripts") for line in posix]

    assert len(posix) == 2
    assert re.findall(r"^> (.*)$", shown, re.MULTILINE) == cmd
    assert re.findall(r"^PS> (.*)$", shown, re.MULTILINE) == [line.replace(" &&", ";") for line in cmd]

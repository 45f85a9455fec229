"""What may be imported: complete, sorted, lazy, and the same for type checkers."""

from __future__ import annotations

import ast
import inspect
import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from support.project import load_module

import foundry_rest
from foundry_rest import errors
from foundry_rest.testing import DEMO_MODEL

#: Modules that a program which asks one question, is answered and ends does not import.
NEEDED_BY_FEW = {
    *("client.arguments", "resilience.interfaces", "services.interfaces", "transport.interfaces"),  # types
    *("errors.bodies", "errors.wordings", "transport.session.exceptions", "transport.session.masking"),
    *("resilience.aftermath", "resilience.failures", "resilience.stream_diagnosis", "models.recoveries"),
    *("observe.log", "observe.totals", "control_characters", "services.discovery", "models", "cache"),
    *("dialects.responses", "dialects.model_routes", "dialects.audio", "dialects.token_counts"),
    *("errors.cases", "schema.models", "schema.chat_params", "transport.call_options"),
}


def type_checking_names() -> dict[str, str]:
    """Return {name: module} as the TYPE_CHECKING block imports them."""
    tree = ast.parse(inspect.getsource(foundry_rest))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    return {
        alias.name: node.module.removeprefix("foundry_rest.")
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_the_names_are_sorted_and_unique():
    """One reads a list faster when it is in order."""
    assert foundry_rest.__all__ == sorted(set(foundry_rest.__all__))


def test_type_checkers_and_the_lazy_table_see_the_same():
    """A name has one home, in both."""
    assert type_checking_names() == foundry_rest._MODULE_OF
    assert set(foundry_rest._MODULE_OF) == set(foundry_rest.__all__)


@pytest.mark.parametrize("name", foundry_rest.__all__)
def test_every_name_can_be_imported(name):
    """It is what its module holds under that name, and documented."""
    value = getattr(foundry_rest, name)

    assert value is getattr(import_module(f"foundry_rest.{foundry_rest._MODULE_OF[name]}"), name)
    assert value.__doc__


def test_every_error_is_public():
    """No error that a caller may meet has to be fetched from elsewhere."""
    names = {
        name
        for name, cls in inspect.getmembers(errors)
        if inspect.isclass(cls) and issubclass(cls, errors.FoundryError) and not name.startswith("_")
    }

    assert names <= set(foundry_rest.__all__)


def test_dir_shows_them():
    """Completion in a shell offers the public names."""
    assert dir(foundry_rest) == sorted([*foundry_rest.__all__, "__version__"])


def test_no_other_name():
    """A name that does not exist is an AttributeError, as for every module."""
    with pytest.raises(AttributeError, match="module 'foundry_rest' has no attribute 'Client'"):
        foundry_rest.Client  # noqa: B018


def test_importing_the_package_is_cheap():
    """``import foundry_rest`` alone imports neither requests nor any module of ours."""
    code = (
        "import sys, foundry_rest; foundry_rest.__version__; dir(foundry_rest); "
        "print([name for name in sys.modules if name.startswith(('foundry_rest.', 'requests', 'urllib3', "
        "'msgspec', 'backoff', 'psutil'))])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout == "[]\n"


def test_importing_the_client_is_cheap():
    """Beyond requests and msgspec the client brings only modules of ours, and of those no dialect."""
    code = (
        "import sys, requests, msgspec; before = set(sys.modules)\n"
        "from foundry_rest import FoundryAPIClient; new = set(sys.modules) - before\n"
        "print(sorted({name.partition('.')[0] for name in new}))\n"
        "print('foundry_rest.dialects.generation2_native' in new)\n"
        "heavy = 'asyncio', 'pydantic', 'rich', 'sqlite3', 'redis', 'psutil', 'pybreaker', 'backoff'\n"
        "print([name for name in (*heavy, 'foundry_local_sdk') if name in new])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout == "['foundry_rest']\nFalse\n[]\n"


def test_a_call_that_is_answered_imports_no_more(server):
    """What only failures, logs and type checkers need is not imported by a program that asks and ends."""
    code = (
        "import sys; from foundry_rest import FoundryAPIClient\n"
        "print(FoundryAPIClient(sys.argv[1], model=sys.argv[2]).complete('Hi').content)\n"
        "print(*(name.partition('.')[2] for name in sys.modules if name.startswith('foundry_rest.')))"
    )
    command = [sys.executable, "-c", code, server.url, DEMO_MODEL]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    answer, imported = done.stdout.splitlines()

    assert answer == "Hello there"
    assert not set(imported.split()) & NEEDED_BY_FEW
    assert len(imported.split()) <= 76 + (os.name == "nt")  # there a connection is waited for in slices


def test_requests_is_imported_below_few_frames():
    """The client imports requests before its own parts, not from the depth of theirs."""
    code = (
        "import sys; from foundry_rest import FoundryAPIClient; names = list(sys.modules)\n"
        "print(names.index('requests.adapters') < names.index('foundry_rest.client.client'))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout == "True\n"


def test_everything_documented_has_public_methods_with_docstrings():
    """Every public method of the client and its endpoints says what it does."""
    from foundry_rest.endpoints.audio import Audio
    from foundry_rest.endpoints.chat import Chat
    from foundry_rest.endpoints.embeddings import Embeddings
    from foundry_rest.endpoints.health import Health
    from foundry_rest.endpoints.models import Models
    from foundry_rest.endpoints.responses import Responses

    endpoints = (Audio, Chat, Embeddings, Health, Models, Responses)
    for cls in (foundry_rest.FoundryAPIClient, *endpoints, foundry_rest.ChatStream):
        missing = [
            name
            for name, member in inspect.getmembers(cls)
            if not name.startswith("_") and not inspect.getdoc(member)
        ]
        assert not missing


WATCH = """
import os, sys
seen = []
class Environment(dict):
    def get(self, name, default=None):
        seen.append(name); return dict.get(self, name, default)
    def __getitem__(self, name):
        seen.append(name); return dict.__getitem__(self, name)
    def __contains__(self, name):
        seen.append(name); return dict.__contains__(self, name)
def hook(event, arguments):
    if event.startswith(("socket.", "subprocess.")) and event != "socket.gethostname":
        seen.append(event)
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        seen.append(arguments[0])
os.environ = Environment(os.environ)
sys.addaudithook(hook)
import foundry_rest
from foundry_rest import *
import foundry_rest.services.discovery, foundry_rest.testing
# urllib3 asks the kernel for IPv6 by one bind; nothing may be connected, started, written or read of ours.
ours = [name for name in seen if "FOUNDRY" in str(name).upper()
        or str(name).startswith(("socket.connect", "socket.getaddrinfo", "subprocess"))]
seen.clear()
FoundryAPIClient(config=Config()).close()
print(ours, seen)
"""


def test_no_io_at_import_or_in_the_constructor():
    """Importing everything reads no variable of ours and opens nothing; nor does a client with settings."""
    command = [sys.executable, "-B", "-c", WATCH]
    result = subprocess.run(command, capture_output=True, text=True, check=True)

    assert result.stdout == "[] []\n"


# ------------------------------------------------------------------------ what could be written before

SCRIPT = Path(__file__).parents[2] / "tools" / "public_api.py"
FIRST = json.loads((Path(__file__).parents[1] / "samples" / "public_api.json").read_text(encoding="utf-8"))
#: Public by their spelling alone: the sender's recoveries called them, with a call that no user has.
INTERNAL = {"models.load_for is gone", "models.resolve_for is gone"}


@pytest.fixture(scope="module")
def tool():
    """The script that records the public surface."""
    return load_module(SCRIPT, "tools_public_api")


def test_what_could_be_written_can_be_written(tool):
    """Every name, method and parameter of the first edition is there, or the surface is wider."""
    assert set(tool.narrowed(FIRST, tool.surface())) == INTERNAL


@pytest.mark.parametrize(
    ("then", "now", "said"),
    [
        ({"a": "either"}, {"a": "either", "b": "keyword?"}, []),
        ({"a": "position"}, {"a": "either?"}, []),
        ({"a": "keyword"}, {"b": "either?", "a": "either"}, []),
        ({"a": "keyword?"}, {}, ["a is gone"]),
        (
            {"a": "either"},
            {"a": "keyword"},
            ["a was either and is keyword", "the positions were ['a'] and are []"],
        ),
        ({"a": "either"}, {"a": "position"}, ["a was either and is position"]),
        ({"a": "keyword?"}, {"a": "keyword"}, ["a was keyword? and is keyword"]),
        ({"a": "either"}, {"b": "either?", "a": "either"}, ["the positions were ['a'] and are ['b', 'a']"]),
        ({}, {"a": "keyword"}, ["a is new and cannot be left out"]),
        ({"a": "**"}, {}, ["a is gone"]),
        (None, {}, ["was an attribute and is a function, or the other way round"]),
    ],
)
def test_narrower_is_told(tool, then, now, said):
    """A parameter may become more than it was, never less, and a further one may be left out."""
    assert list(tool.narrowed_parameters(then, now)) == said


def test_what_is_gone_is_told(tool):
    """A name, a method or an attribute that is no longer there is a complaint."""
    then, now = ({"names": names, "members": dict.fromkeys(names)} for names in (["a", "b"], ["b", "c"]))

    assert tool.narrowed(then, now) == ["a is gone"]


def test_the_keys_of_options_are_parameters(tool):
    """What a TypedDict declares may be given by name, and left out."""
    from foundry_rest.endpoints.health import Health

    assert tool.parameters(Health.check) == {
        "self": "either",
        **dict.fromkeys(("timeout", "deadline", "retries", "headers", "cancel", "lane", "cache"), "keyword?"),
    }

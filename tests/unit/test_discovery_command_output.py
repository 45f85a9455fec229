"""What the `foundry` command prints, in every form that is known, and which addresses are in it."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

from foundry_rest.services.discovery import command_output
from foundry_rest.services.discovery.command_output import Output, addresses, in_short, word_known

SAMPLES = Path(__file__).parents[1] / "samples" / "cli"
HERE = "http://127.0.0.1:60000"
LEGACY = "http://localhost:5273"
#: What was printed -> the candidates in it, the most promising first.
NAMED = {
    "daemon.json": [HERE],
    "server_crash.txt": [],
    "server_cut.json": [HERE],
    "server_elsewhere.json": [],
    "server_list.json": [HERE],
    "server_noise.txt": [HERE, "http://127.0.0.1:4318"],
    "server_noise_with_braces.txt": [HERE],
    "server_null.json": [],
    "server_one.json": [HERE],
    "server_pascal.json": [HERE, "http://localhost:60001"],
    "server_ready.json": [HERE],
    "server_stale_false.json": [HERE],
    "server_stale_true.json": ["http://127.0.0.1:1"],
    "server_started.txt": [HERE],
    "server_stopped.json": [],
    "server_text.txt": [HERE],
    "server_text_stopped.txt": [],
    "server_unknown.txt": [],
    "server_unknown_in_german.txt": [],
    "service_already_running.txt": ["http://127.0.0.1:58338"],
    "service_code_page_1252.txt": [LEGACY],
    "service_code_page_437.txt": [LEGACY],
    "service_code_page_932.txt": [LEGACY],
    "service_coloured.txt": ["http://127.0.0.1:5273"],
    "service_everywhere.txt": [*(f"http://127.0.0.1:{5270 + n}" for n in range(4)), "http://[::1]:5274"],
    "service_first_run.txt": [LEGACY],
    "service_half_dead.txt": ["http://127.0.0.1:54150"],
    "service_half_dead_and_running.txt": [LEGACY, "http://127.0.0.1:54150"],
    "service_not_running.txt": [],
    "service_running.txt": [LEGACY],
    "service_started.txt": ["http://127.0.0.1:64646"],
    "service_unknown.txt": [],
}
REFUSED = {"server_unknown.txt", "server_unknown_in_german.txt", "service_unknown.txt"}


def printed(name: str) -> str:
    """Return a sample as the command's output is decoded."""
    return (SAMPLES / name).read_bytes().decode("utf-8", "replace")


@pytest.mark.parametrize(("name", "urls"), NAMED.items())
def test_addresses(name, urls):
    """Every address of this machine is a candidate, cut to its port; links and banners are none."""
    assert addresses(printed(name)) == tuple(urls)


def test_every_sample_is_read():
    """No sample lies there unused."""
    assert {path.name for path in SAMPLES.iterdir()} == set(NAMED)


def test_addresses_of_two_streams():
    """Both streams count, each address once, and the report of a failure comes last in either."""
    dead, alive = printed("service_half_dead.txt"), printed("service_running.txt")

    assert addresses(dead, alive, alive) == (LEGACY, "http://127.0.0.1:54150")
    assert addresses() == addresses("", "") == ()


@pytest.mark.parametrize("noise", ["}{", "{" * 5000 + "}" * 5000, '{"webUrls": {}}', "{\ud800}"])
def test_noise_is_no_address(noise):
    """What cannot be read names nothing, and hides nothing that stands beside it."""
    assert addresses(noise) == ()
    assert addresses(f"{noise}\n{HERE}") == (HERE,)


@pytest.mark.parametrize("name", [name for name in NAMED if name.startswith("serv")])
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_what_a_version_understands(name, stream):
    """A version that does not know a word quotes it, in whatever language, on either stream."""
    output = Output(**{stream: printed(name)})

    assert output.understood(name[: name.index("_")]) is (name not in REFUSED)


def test_the_word_that_is_known():
    """The newest word that was understood; silence and a command that hangs understand nothing."""
    refused, ready = Output(printed("server_unknown.txt")), Output(printed("service_running.txt"))

    assert word_known({"server": ready, "service": ready}) == "server"
    assert word_known({"server": refused, "service": ready}) == "service"
    assert word_known({"server": Output(" \n"), "service": Output("x", trouble="no answer")}) is None
    assert word_known({}) is None


@pytest.mark.parametrize(
    ("output", "told"),
    [
        (Output(), "it said nothing"),
        (Output("half", trouble="no answer within 10 s"), "no answer within 10 s"),
        (Output("b\r\n c", "\x1b[31ma\x1b[0m "), "it said: a b c"),
        (Output("x" * 200), f"it said: {'x' * 200}"),
        (Output("x" * 201), f"it said: {'x' * 200}..."),
        (Output(printed("server_unknown.txt")), "unknown to this version"),
    ],
)
def test_in_short(output, told):
    """A message holds its complaint first, on one line, without colours, and not the whole stack trace."""
    assert in_short(output, "server") == told


def test_in_short_of_a_start():
    """What a start printed is repeated as it is: nothing was asked by word."""
    assert in_short(Output("'server' up")) == "it said: 'server' up"


def test_the_examples_in_docstrings_hold():
    """What the docstrings show is what happens."""
    assert doctest.testmod(command_output) == doctest.TestResults(0, 1)

"""`bench`: tables for people, vLLM's names for programs, advice that runs."""

from __future__ import annotations

import json
import os
import signal

import pytest
from support.servers import CHAT, bodies

from foundry_rest import FoundryAPIClient
from foundry_rest.cli.bench_output import lines_of
from foundry_rest.ops.bench import BenchLevel, BenchReport, BenchSettings, Measurement
from foundry_rest.ops.bench.figures import run_of
from foundry_rest.testing import DEMO_MODEL, chat_stream, dead_address, json_error, stall

SMALL = ("bench", "--model", DEMO_MODEL, "--requests", "4", "--warmup", "2")
ONE = (*SMALL, "--concurrency", "1")


def test_a_sweep(run, server):
    """People get tables of at most 80 columns, formulas and advice; the progress is on stderr."""
    code, stdout, stderr = run(*SMALL, "--goodput", "ttft:500,e2e:5000", "--repeat", "2")
    *lines, client = stdout.splitlines()

    assert code == 0
    assert max(map(len, lines)) <= 80
    for name in ("TTFT", "TPOT", "ITL", "E2E", "GOOD/S", "PER USER", "P99", "Least to greatest", "Advice:"):
        assert name in stdout
    assert "TPOT      (last event - first output) / (output tokens - 1)" in lines
    assert client.startswith("FoundryAPIClient(model='demo-generic-cpu:1', max_concurrency=")
    assert stderr.startswith("1 at a time: 4 requests in ")


def test_the_line_of_the_client_runs(run, server):
    """The last line is the client; the address is in it where it was given."""
    client = run(*ONE, "--url", server.url)[1].splitlines()[-1]

    with eval(client, {"FoundryAPIClient": FoundryAPIClient}) as made:
        assert made.complete("Say OK").content == "Hello there"
    assert server.url in client


def test_json(run, server):
    """Programs get one object on stdout, with vLLM's names, and nothing on stderr."""
    code, stdout, stderr = run(*SMALL, "--json")
    found = json.loads(stdout)

    assert (code, stderr) == (0, "")
    assert {"median_ttft_ms", "p99_tpot_ms", "mean_itl_ms", "request_throughput", "output_throughput"} <= set(
        found
    )
    assert (found["completed"], found["failed"], found["request_goodput"]) == (found["num_prompts"], 0, None)
    assert found["client"].startswith("FoundryAPIClient(")
    assert found["advice"]["concurrency"] == found["max_concurrency"]


def test_one_number_at_a_time(run, server):
    """Where one number was measured nothing is said about others."""
    stdout = run(*ONE)[1]
    assert "1 at a time is all that was measured; --concurrency sweep" in " ".join(stdout.split())


def test_a_plot(run, server, tmp_path):
    """The plot is written beside the tables."""
    path = tmp_path / "bench.svg"
    assert run(*ONE, "--plot", str(path))[0] == 0
    assert path.read_text("utf-8").startswith("<svg xmlns=")


def test_prompts(run, server, tmp_path):
    """A prompt, or the lines of a file, are sent in place of made ones, and are told nowhere."""
    path = tmp_path / "prompts.txt"
    path.write_text("alpha-secret\n\n  beta-secret \n", encoding="utf-8")
    code, stdout, stderr = run(*ONE, "--prompts", str(path))
    assert code == 0
    assert "secret" not in stdout + stderr
    assert [body["messages"][0]["content"] for body in bodies(server)][2:4] == ["alpha-secret", "beta-secret"]
    assert run(*ONE, "--prompt", "gamma")[0] == 0
    assert bodies(server)[-1]["messages"][0]["content"] == "gamma"


@pytest.mark.parametrize(("seconds", "told"), [((1.0, 1.1, 1.15), False), ((1.0, 1.1, 1.4), True)])
def test_repeats_that_differ(seconds, told):
    """Runs of which something else slowed one down are told, because the advice rests on them."""
    runs = [run_of(1, [Measurement(began=0.0, ended=each, completion_tokens=10)]) for each in seconds]
    level = BenchLevel(concurrency=1, runs=tuple(runs))
    report = BenchReport(url="", generation=None, model="demo", settings=BenchSettings(), levels=(level,))

    assert any(line.startswith("Repeats differ") for line in lines_of(report, "demo", None)) is told


def test_failures(run, server):
    """They are counted with their reason, and have the exit code 6, or 1 where nothing was answered."""
    server.on("POST", CHAT, chat_stream(), chat_stream(), json_error(500, "odd thing"), chat_stream())
    code, stdout, _ = run(*ONE)
    assert code == 6
    assert "1 at a time: 1 x ServerError: odd thing" in stdout
    server.on("POST", CHAT, json_error(500, "odd thing"))
    code, stdout, _ = run(*ONE)
    assert code == 1
    assert "4 x ServerError" in stdout
    assert "FoundryAPIClient(" not in stdout


def test_no_content(run, server):
    """Answers without content are told, and have a dash for what they do not have."""
    server.on("POST", CHAT, chat_stream([]))
    code, stdout, _ = run(*ONE)
    assert code == 0
    assert "1 at a time: 4 answers without content, which have no TTFT" in stdout


def test_a_service_that_counts_no_tokens(run, server):
    """What is taken for a token is told."""
    note = "The service counts no tokens: each event with text is taken for one."
    assert note not in run(*ONE)[1]
    server.on("POST", CHAT, chat_stream(usage=False))
    assert note in run(*ONE)[1]


def test_no_service(run):
    """A service that is not there has the exit code that it has everywhere."""
    with dead_address() as url:
        code, stdout, stderr = run("bench", "--url", url)
    assert (code, stdout) == (3, "")
    assert "connection refused" in stderr


def test_no_such_model(run, server):
    """The service says no."""
    assert run("bench", "--model", "nope")[0] == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--bogus"],
        ["--concurrency", "0"],
        ["--concurrency", "some"],
        ["--concurrency", "-1"],
        ["--requests", "0"],
        ["--requests", "x"],
        ["--goodput", "speed:5"],
        ["--goodput", "ttft"],
        ["--repeat", "0"],
        ["--max-tokens", "0"],
        ["--prompt", "a", "--prompts", "b"],
        ["--prompts", "there-is-no-such-file"],
        ["--plot", "bench.png"],
        ["--plot", "no-such-folder/bench.svg"],
    ],
)
def test_wrong_arguments(run, server, arguments):
    """They are refused before anything is sent."""
    assert run("bench", *arguments)[0] == 2
    assert server.requests == []


def test_an_empty_file_of_prompts(run, server, tmp_path):
    """A file without a prompt is a mistake."""
    path = tmp_path / "prompts.txt"
    path.write_text("\n \n", encoding="utf-8")
    code, _, stderr = run("bench", "--prompts", str(path))
    assert code == 2
    assert "holds no prompt" in stderr


def test_ctrl_c(run, server):
    """It ends the calls under way and prints the figures so far, with the exit code of an interrupt."""

    def interrupt(_request):
        os.kill(os.getpid(), signal.SIGINT) if os.name != "nt" else signal.raise_signal(signal.SIGINT)
        return chat_stream()[:3] + stall()

    server.on("POST", CHAT, *[chat_stream()] * 4, interrupt)
    before = signal.getsignal(signal.SIGINT)
    code, stdout, _ = run("bench", "--model", DEMO_MODEL, "--requests", "50", "--concurrency", "1")

    assert code == 130
    assert "Interrupted: the last run lacks" in stdout
    assert "FoundryAPIClient(" in stdout
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_before_the_first_answer(run, server):
    """There is nothing to print but that."""

    def interrupt(_request):
        os.kill(os.getpid(), signal.SIGINT) if os.name != "nt" else signal.raise_signal(signal.SIGINT)
        return stall()

    server.on("POST", CHAT, interrupt)
    code, stdout, _ = run("bench", "--model", DEMO_MODEL)

    assert code == 130
    assert "Interrupted before the first run had an answer." in stdout

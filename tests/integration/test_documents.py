"""Everything that is documented as a command or a program runs."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from support.pages import blocks, commands, lay_out, name_of, pages

from foundry_rest.config import DEFAULT_MODEL
from foundry_rest.runtime import LocalRuntime, demo_model_dir

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = re.findall(r"^\$ (.*foundry-rest (?!demo).*)$", README, re.MULTILINE)
CRON = re.findall(r"^0 \d \* \* \*  (.*)$", README, re.MULTILINE)
#: Pages whose programs or commands another test runs, and its file.
HERE = "tests/integration/test_documents.py"
PROGRAMS_ELSEWHERE = {
    "how-to/cache": HERE,
    "how-to/engines": "tests/engines/test_documents.py",
    "how-to/test-doubles": "tests/unit/test_session_doubles.py",
    "how-to/web-servers": "tests/engines/test_gunicorn.py",
    "tutorial/first-answer": "tests/integration/test_first_answer.py",
}
COMMANDS_ELSEWHERE = {
    "how-to/cache": HERE,
    "how-to/interfaces": HERE,
    "how-to/moving": HERE,
    "how-to/web-servers": "tests/engines/test_gunicorn.py",
    "tutorial/first-answer": "tests/integration/test_first_answer.py",
}
PAGE_PROGRAMS = {
    f"{page}-{number}": program
    for page in pages("python")
    if page not in PROGRAMS_ELSEWHERE
    for number, program in enumerate(blocks(page, "python"))
    if "import ChatOpenAI" not in program  # tests/engines runs it
    and name_of(program) not in " ".join(commands(page))  # a command of the page runs it
}
PAGES_WITH_COMMANDS = [page for page in pages("console") if page not in COMMANDS_ELSEWHERE]
#: The model for vectors that the documents name, and the toy in its place.
EMBEDDING_MODEL, TINY_EMBEDDINGS = "qwen3-embedding-0.6b", ROOT / "tests" / "models" / "tiny-embeddings"
#: The files that the commands name.
INPUTS = {
    "report.txt": "All is well.\n",
    "prompts.txt": "Say OK\nWhat is the capital of France?\n",
    "reviews.csv": "number,text\n1,good\n2,bad\n",
    "requests.jsonl": '{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", '
    '"body": {"model": "phi-4-mini", "messages": [{"role": "user", "content": "Say OK"}]}}\n',
}
#: Those that need more than the extra ``test``; tests/engines runs them.
ON_ENGINES = {"celery_tasks", "dask_cluster", "streamlit_app", "web_fastapi", "web_flask"}
EXAMPLES = sorted(path for path in (ROOT / "examples").glob("*.py") if path.stem not in ON_ENGINES)

pytestmark = pytest.mark.runtime


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRuntime]:
    """Serve the demo model, and one for vectors, under the names that the documents use."""
    folder = tmp_path_factory.mktemp("documents")
    for name, model in ((DEFAULT_MODEL, demo_model_dir()), (EMBEDDING_MODEL, TINY_EMBEDDINGS)):
        (folder / name).symlink_to(model, target_is_directory=True)
    with LocalRuntime([folder / DEFAULT_MODEL, folder / EMBEDDING_MODEL]) as started:
        yield started


def run(
    command: list[str] | str,
    url: str,
    folder: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> subprocess.CompletedProcess[str]:
    """Run as a reader would, with a service in the environment."""
    environment = {**environment, "FOUNDRY_ENDPOINT": url, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command,
        shell=isinstance(command, str),
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
def test_programs_of_the_readme_run(program, runtime):
    """Each Python block of the README runs as it stands and says something."""
    done = run([sys.executable, "-W", "error", "-c", program], runtime.url)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("name", PAGE_PROGRAMS)
def test_programs_of_other_pages_run(name, runtime, tmp_path):
    """Each Python block of a page runs as it stands, in a folder of its own, and warns of nothing."""
    file_path = tmp_path / name_of(PAGE_PROGRAMS[name])
    file_path.write_text(PAGE_PROGRAMS[name], encoding="utf-8")
    done = run([sys.executable, "-W", "error", file_path.name], runtime.url, tmp_path)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() or done.stderr.strip() or set(tmp_path.iterdir()) - {file_path}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_of_the_readme_run(command, runtime, tmp_path):
    """Each shell command of the README runs as it stands and answers on stdout, or into its -o."""
    for name, content in INPUTS.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    program = f"{shlex.quote(sys.executable)} -m foundry_rest"
    done = run(command.replace("foundry-rest", program), runtime.url, tmp_path)

    assert done.returncode == 0, done.stderr
    output = re.search(r" -o (\S+)", command)
    assert done.stdout.strip() if output is None else (tmp_path / output[1]).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES_WITH_COMMANDS)
def test_commands_of_other_pages_run(page, runtime, tmp_path):
    """The commands of a page run one after the other in one folder; ours say or leave something."""
    environment = lay_out(page, tmp_path)
    for name, content in INPUTS.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    for command in commands(page):
        before = set(tmp_path.iterdir())
        done = run(command.replace("/opt/jobs", str(tmp_path)), runtime.url, tmp_path, environment)

        assert done.returncode == 0, done.stdout + done.stderr
        left = done.stdout.strip() or done.stderr.strip() or set(tmp_path.iterdir()) - before
        assert left or not command.startswith("foundry-rest")
    if page == "how-to/batch":
        result = json.loads((tmp_path / "results.jsonl").read_text("utf-8"))
        assert result["response"]["status_code"] == 200


def test_what_serve_prints(tmp_path):
    """docs/how-to/interfaces.md shows what `serve` prints, all but the numbers of port and process."""
    page = (ROOT / "docs" / "how-to" / "interfaces.md").read_text("utf-8")
    shown = re.search(r"^\$ foundry-rest (serve .*)\n([^`]*)```", page, re.MULTILINE)
    folder = tmp_path / "models" / DEFAULT_MODEL
    folder.parent.mkdir()
    folder.symlink_to(demo_model_dir(), target_is_directory=True)
    arguments = shlex.split(shown[1].replace("~", str(tmp_path)))
    with subprocess.Popen(
        [sys.executable, "-m", "foundry_rest", *arguments, "--port", "0"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        address = process.stdout.readline()
        process.terminate()
        notes = process.communicate(timeout=60)[1].removesuffix("Stopped.\n")

    changing = re.compile(r"(?<=127\.0\.0\.1:)\d+|(?<=pid )\d+")
    assert changing.sub("N", notes + address) == changing.sub("N", shown[2])


def test_the_address_for_other_programs(runtime, tmp_path):
    """What the page on moving has shells print is an address alone; without a service, why none is there."""
    page = (ROOT / "docs" / "how-to" / "moving.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^\$ foundry-rest (.*)$", page, re.MULTILINE)
    ours = [sys.executable, "-m", "foundry_rest", *shlex.split(command)]

    assert run(ours, runtime.url, tmp_path).stdout == f"{runtime.url}\n"
    lost = run(ours, "http://127.0.0.1:9", tmp_path)
    assert (lost.returncode, lost.stdout) == (3, "")
    assert "127.0.0.1:9" in lost.stderr


def test_the_page_on_the_cache_runs(runtime, tmp_path):
    """The programs of the page on the cache run in one folder, then its commands on the file they made."""
    programs, ours = blocks("how-to/cache", "python"), commands("how-to/cache")
    assert len(programs) >= 2
    assert len(ours) >= 3
    for program in programs:
        done = run([sys.executable, "-W", "error", "-c", program], runtime.url, tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()
    for command in ours:
        arguments = shlex.split(command)[1:]
        done = run([sys.executable, "-m", "foundry_rest", *arguments], runtime.url, tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()


@pytest.mark.parametrize("command", CRON)
def test_lines_for_cron_run(command, runtime, tmp_path):
    """What README gives to cron runs with cron's small environment, says nothing, and leaves a log."""
    (tmp_path / "night.py").write_text("print('done')\n", encoding="utf-8")
    (tmp_path / "prompts.txt").write_text(INPUTS["prompts.txt"], encoding="utf-8")
    python, ours = shlex.quote(sys.executable), f"{shlex.quote(sys.executable)} -m foundry_rest"
    command = command.replace("/opt/jobs/.venv/bin/python", python).replace(".venv/bin/foundry-rest", ours)
    done = subprocess.run(
        ["/bin/sh", "-c", command.replace("/opt/jobs", str(tmp_path))],
        env={"FOUNDRY_ENDPOINT": runtime.url, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "PATH": "/bin"},
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert (tmp_path / "night.log").read_text("utf-8").strip()


def test_the_readme_has_what_is_run_here():
    """The README holds programs and commands; a changed fence must not make this file pass empty."""
    assert len(PROGRAMS) >= 4
    assert len(COMMANDS) >= 4
    assert len(EXAMPLES) >= 2
    assert len(CRON) >= 2
    assert len(PAGE_PROGRAMS) >= 25
    assert {"how-to/batch", "how-to/monitoring"} <= {*PAGES_WITH_COMMANDS}


@pytest.mark.parametrize(
    ("kind", "elsewhere"), [("python", PROGRAMS_ELSEWHERE), ("console", COMMANDS_ELSEWHERE)]
)
def test_what_is_run_elsewhere(kind, elsewhere):
    """A page that is left out here has blocks, and the file that runs them names it."""
    assert set(elsewhere) <= set(pages(kind))
    for page, file in elsewhere.items():
        assert page.rpartition("/")[2] in (ROOT / file).read_text("utf-8")


@pytest.mark.parametrize("example", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_examples_run(example, runtime):
    """Each example runs against a real service, ends well and warns of nothing."""
    done = run([sys.executable, "-W", "error", str(example)], runtime.url)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert not done.stderr.strip() or "attempt 1 failed" in done.stderr


def test_the_streaming_example_tells_what_it_lost(runtime):
    """The streaming example prints the error and exits 1 when the service is not there."""
    done = run([sys.executable, str(ROOT / "examples" / "streaming.py")], "http://127.0.0.1:9")

    assert done.returncode == 1
    assert "connection refused" in done.stderr
    assert "Traceback" not in done.stderr

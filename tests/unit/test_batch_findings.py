"""What is wrong with an input: each kind of finding, by line and code, before anything is sent."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest

from foundry_rest.batch.findings import Defaults, Finding, check_row
from foundry_rest.batch.intake import Intake, Selection
from foundry_rest.batch.request_index import RequestIndex
from foundry_rest.batch.shards import Shard
from foundry_rest.batch.template import Template
from foundry_rest.errors import ConfigError
from foundry_rest.schema.batch import CHAT, EMBEDDINGS, MAX_ID, RESPONSES, BatchRequest

DEFAULTS = Defaults("phi-4-mini")
MESSAGES = [{"role": "user", "content": "Hello"}]
SECRET = "sk-do-not-show-me-0123456789"


def line(body=None, **members):
    """Return one of OpenAI's lines; a member that is ``...`` is left out."""
    given = {"custom_id": "a", "method": "POST", "url": CHAT, "body": {"messages": MESSAGES}, **members}
    if isinstance(body, dict):
        given["body"] = {"messages": MESSAGES, **body}
    return {name: value for name, value in given.items() if value is not ...}


def codes(given, defaults=DEFAULTS):
    """Return the codes of what is wrong with a row; none of a request."""
    found = check_row(7, given, defaults)
    if isinstance(found, BatchRequest):
        return []
    assert all(finding.line == 7 and finding.message for finding in found)
    return [finding.code for finding in found]


CREDENTIALS = """
api_key apikey API-KEY x-api-key x_api_key api_token api_base base_url baseurl authorization
Authorization cookie headers extra_headers extraheaders credential credentials password secret
bearer access_token auth_token bearer_token id_token refresh_token secret_key session_token
azure_api_key openai_api_key aws_secret_access_key aws_access_key_id aws_session_token organization
"""


NAMES_ALIKE = """
max_tokens max_completion_tokens stop_token token_type_ids logit_bias prompt_cache_key
safety_identifier keyword keys secretary header_style tokens user metadata
"""


# ---------------------------------------------------------------- OpenAI's lines


@pytest.mark.parametrize(
    ("given", "url"),
    [
        (line(), CHAT),
        (line(method=...), CHAT),
        (line(url="/chat/completions"), CHAT),
        (line({"model": "m", "max_tokens": 5, "temperature": 0, "stream": False}), CHAT),
        (line({"stream": None}), CHAT),
        (line({"some_new_parameter": {"x": 1}, "top_k": 5, "timeout": 3}), CHAT),
        (line({"seed": 2**70}), CHAT),
        (line(url="/v1/embeddings") | {"body": {"input": ["a", "b"]}}, EMBEDDINGS),
        (
            line(url="/embeddings") | {"body": {"input": "a", "encoding_format": "base64"}},
            EMBEDDINGS,
        ),
        (line(url="/v1/responses") | {"body": {"input": "a", "store": True}}, RESPONSES),
        (line(url="/responses") | {"body": {"input": MESSAGES, "future": 1}}, RESPONSES),
        (line(custom_id="x" * MAX_ID), CHAT),
    ],
)
def test_good_lines(given, url):
    """OpenAI's lines of the three routes are requests, in Azure's spelling too, with further parameters."""
    request = check_row(1, given, DEFAULTS)

    assert isinstance(request, BatchRequest)
    assert request.url == url
    assert request.custom_id == given["custom_id"]
    assert request.model == given["body"].get("model", "phi-4-mini")


#: A line, and the codes of all that is wrong with it.
BAD_LINES = [
    (line(custom_id=...), ["missing_required_parameter"]),
    (line(custom_id=""), ["missing_required_parameter"]),
    (line(custom_id=5), ["missing_required_parameter"]),
    (line(custom_id=None), ["missing_required_parameter"]),
    (line(custom_id="x" * (MAX_ID + 1)), ["missing_required_parameter"]),
    (line(url=...), ["url_mismatch"]),
    (line(url=""), ["url_mismatch"]),
    (line(url=5), ["url_mismatch"]),
    (line(url="/v1/completions"), ["url_mismatch"]),
    (line(url="/v1/chat/completions/"), ["url_mismatch"]),
    (line(url="v1/chat/completions"), ["url_mismatch"]),
    (line(url="https://api.openai.com/v1/chat/completions"), ["url_mismatch"]),
    (line(url="/v1/audio/transcriptions"), ["url_mismatch"]),
    (line(method="GET"), ["invalid_method"]),
    (line(method="post"), ["invalid_method"]),
    (line(method=None), ["invalid_method"]),
    ({**line(), "body": None}, ["missing_required_parameter"]),
    ({**line(), "body": []}, ["missing_required_parameter"]),
    ({**line(), "body": "x"}, ["missing_required_parameter"]),
    ({name: value for name, value in line().items() if name != "body"}, ["missing_required_parameter"]),
    ({**line(), "body": {}}, ["invalid_request"]),
    ({**line(), "body": {"prompt": "x"}}, ["invalid_request"]),
    ({**line(), "body": {"input": "x"}}, ["invalid_request"]),
    (line(url="/v1/embeddings"), ["invalid_request"]),
    (line({"stream": True}), ["invalid_stream"]),
    (line({"stream": "yes"}), ["invalid_stream"]),
    (line({"messages": []}), ["invalid_request"]),
    (line({"messages": 5}), ["invalid_request"]),
    (line({"messages": [{"role": "user"}]}), ["invalid_request"]),
    (line({"messages": [{"content": "x"}]}), ["invalid_request"]),
    (line({"messages": ["x"]}), ["invalid_request"]),
    (line({"model": 5}), ["invalid_request"]),
    (line({"model": ["m"]}), ["invalid_request"]),
    (line({"model": True}), ["invalid_request"]),
    (line({"model": ""}), ["invalid_request"]),
    (line({"model": "a b"}), ["invalid_request"]),
    (line({"max_tokens": 0}), ["invalid_request"]),
    (line({"max_tokens": "5"}), ["invalid_request"]),
    (line({"temperature": -1}), ["invalid_request"]),
    (line({"messages": [{"role": "user", "content": "a\0b"}]}), ["invalid_request"]),
    ({**line(url=EMBEDDINGS), "body": {"input": []}}, ["invalid_request"]),
    ({**line(url=EMBEDDINGS), "body": {"input": [1, 2]}}, ["invalid_request"]),
    ({**line(url=EMBEDDINGS), "body": {"input": "x", "encoding_format": "hex"}}, ["invalid_request"]),
    ({**line(url=EMBEDDINGS), "body": {"input": "x", "dimensions": 5}}, ["invalid_request"]),
    ({**line(url=RESPONSES), "body": {"input": "x", "max_output_tokens": 0}}, ["invalid_request"]),
    ({**line(url=RESPONSES), "body": {"messages": MESSAGES}}, ["invalid_request"]),
    (line(priority=1), ["unknown_parameter"]),
    (line(prompt="x"), ["unknown_parameter"]),
    (line(api_key=SECRET), ["credentials_in_body"]),
    (line(headers={"Authorization": SECRET}), ["credentials_in_body"]),
    (line({"api_key": SECRET}), ["credentials_in_body"]),
    (line({"base_url": "http://elsewhere"}), ["credentials_in_body"]),
    (line({"extra_headers": {"x-api-key": SECRET}}), ["credentials_in_body"]),
    (line({SECRET: 1}), []),
    # Everything that is wrong with a line is told at once.
    (
        {"url": "/v1/x", "method": "PUT", "api_key": SECRET, "x": 1, "body": {"stream": True, "token": 1}},
        [
            "missing_required_parameter",
            "credentials_in_body",
            "unknown_parameter",
            "url_mismatch",
            "invalid_method",
            "invalid_stream",
        ],
    ),
]


@pytest.mark.parametrize(("given", "expected"), BAD_LINES)
def test_bad_lines(given, expected):
    """Each mistake has its code, and a line that has several has a finding for each."""
    assert codes(given) == expected


@pytest.mark.parametrize("name", CREDENTIALS.split())
def test_credentials(name):
    """Whatever carries a key or leads elsewhere is told by its name; its value is never shown."""
    for given in (line(**{name: SECRET}), line({name: SECRET}), line({name: {"nested": SECRET}})):
        found = check_row(3, given, DEFAULTS)
        assert [finding.code for finding in found] == ["credentials_in_body"]
        assert name in found[0].message
        assert "FOUNDRY_API_KEY" in found[0].message
        assert SECRET not in f"{found} {found[0].to_dict()} {found[0].message}"


@pytest.mark.parametrize("name", NAMES_ALIKE.split())
def test_no_credentials(name):
    """Parameters whose names sound alike are none."""
    assert "credentials_in_body" not in codes(line({name: 5}))


def test_what_is_no_name_is_not_shown():
    """A key that slipped into the place of a name is not repeated in the log."""
    (finding,) = check_row(1, line(**{SECRET: 1}), DEFAULTS)

    assert finding.code == "unknown_parameter"
    assert SECRET not in finding.message
    (finding,) = check_row(1, {"prompt": "x", SECRET: 1}, DEFAULTS)
    assert SECRET not in finding.message


# ---------------------------------------------------------------- prompts


@pytest.mark.parametrize(
    ("given", "defaults", "body"),
    [
        ("Hello", Defaults("m"), {}),
        ({"prompt": "Hello"}, Defaults("m"), {}),
        ({"prompt": "Hello", "seed": 5}, Defaults("m"), {"seed": 5}),
        ("Hello", Defaults("m", {"max_tokens": 9}), {"max_tokens": 9}),
        ({"prompt": "Hello", "max_tokens": 3}, Defaults("m", {"max_tokens": 9}), {"max_tokens": 3}),
        ({"a": "Hello", "b": 1}, Defaults("m", template=Template("{a}")), {}),
        ("ello", Defaults("m", template=Template("H{prompt}")), {}),
        ({"prompt": "Hello", "extra": {"top_k": 5}}, Defaults("m"), {"top_k": 5}),
    ],
)
def test_short_forms(given, defaults, body):
    """A prompt takes the options of the command line; what the row says itself counts more."""
    request = check_row(4, given, defaults)

    assert request == BatchRequest("line-4", CHAT, {"model": "m", "messages": MESSAGES, **body})


def test_system_of_the_command_line():
    """``--system`` stands before each prompt."""
    request = check_row(1, "Hello", Defaults("m", {"system": "Be brief."}))

    assert request.input == [{"role": "system", "content": "Be brief."}, *MESSAGES]


@pytest.mark.parametrize(
    ("given", "column", "template", "name"),
    [
        ({"custom_id": "x", "prompt": "p"}, "", None, "x"),
        ({"id": "x", "prompt": "p"}, "id", None, "x"),
        ({"id": 12, "prompt": "p"}, "id", None, "12"),
        ({"id": "x", "text": "p"}, "id", "{text}", "x"),
        ({"custom_id": "x", "text": "p"}, "", "{text}", "x"),
        ({"text": "p"}, "", "{text}", "line-9"),
        ({"custom_id": "y", "id": "x", "text": "p"}, "id", "{text}", "x"),
        ({"id": "x"}, "id", "{id}", "x"),
    ],
)
def test_names_of_rows(given, column, template, name):
    """The column that ``--id`` names is the custom_id, else the member of that name, else the line."""
    defaults = Defaults("m", template=template and Template(template), id_column=column)

    assert check_row(9, given, defaults).custom_id == name


@pytest.mark.parametrize(
    ("given", "defaults", "said"),
    [
        ({"prompt": "p"}, Defaults("m", id_column="id"), "there is no column 'id'; there are: prompt"),
        ({"prompt": "p", "id": None}, Defaults("m", id_column="id"), "'id' names the request"),
        ({"prompt": "p", "id": [1]}, Defaults("m", id_column="id"), "'id' names the request"),
        ({"prompt": "p", "id": True}, Defaults("m", id_column="id"), "'id' names the request"),
        ({"prompt": "p", "id": ""}, Defaults("m", id_column="id"), "custom_id must be text of 1 to 512"),
        ({"prompt": "p", "custom_id": 5}, Defaults("m"), "custom_id must be text"),
        ({"a": "p"}, Defaults("m", template=Template("{b}")), "there is no column 'b'"),
        ({}, Defaults("m"), "needs either 'prompt' or 'messages'"),
        ({"prompt": "p", "messages": MESSAGES}, Defaults("m"), "needs either"),
        ({"prompt": ""}, Defaults("m"), "prompt is empty"),
        ({"prompt": None}, Defaults("m"), "prompt must be text"),
        ({"prompt": "p", "promt": 1}, Defaults("m"), "there is no member of a request 'promt'"),
        ({"prompt": "p", "stream": True}, Defaults("m"), "stream"),
        ({"prompt": "p", "extra": 5}, Defaults("m"), "extra must be a mapping"),
        ({"prompt": "p", "max_tokens": "many"}, Defaults("m"), "max_tokens"),
        ("p", Defaults("m", {"temperature": -1}), "temperature"),
        (line(), Defaults("m", {"max_tokens": 5}), "options for prompts do not apply"),
        (line(), Defaults("m", template=Template("{a}")), "options for prompts do not apply"),
    ],
)
def test_bad_rows(given, defaults, said):
    """A row that cannot be a request is one finding that says why."""
    (finding,) = check_row(2, given, defaults)

    assert (finding.line, finding.code) == (2, "invalid_request")
    assert said in finding.message


@pytest.mark.parametrize(
    ("extra", "code"), [({"api_key": SECRET}, "credentials_in_body"), ({"stream": True}, "invalid_stream")]
)
def test_mistakes_in_extra(extra, code):
    """What stands in ``extra`` would go into the body: it is refused like what stands there."""
    (finding,) = check_row(1, {"prompt": "p", "extra": extra}, DEFAULTS)

    assert finding.code == code
    assert SECRET not in finding.message


# ---------------------------------------------------------------- a whole input


class Pass:
    """One pass over an input, with what it found."""

    def __init__(self, content, form="jsonl", defaults=DEFAULTS, *, limit=None, shard=None) -> None:
        self.found: list[Finding] = []
        with RequestIndex() as index:
            intake = Intake(index, defaults, self.found.append)
            intake.read(io.BytesIO(content), form, Selection(limit, shard))
            self.rows, self.urls, self.findings = intake.rows, dict(intake.urls), intake.findings
            self.names = [name for name, _ in index.places(ordered=True)]

    @property
    def codes(self) -> list[tuple[int, str]]:
        """Return line and code of each finding."""
        return [(finding.line, finding.code) for finding in self.found]


def lines(*given) -> bytes:
    """Return rows as JSON lines."""
    return b"".join(json.dumps(row).encode() + b"\n" for row in given)


def test_one_pass_finds_everything():
    """All findings of all lines come in one pass, and the good lines are taken."""
    content = lines(
        line(custom_id="a"),
        line({"stream": True}, custom_id="b", method="GET"),
        line(custom_id="a"),
        line(url=EMBEDDINGS, custom_id="c") | {"body": {"input": "x"}},
    )
    read = Pass(content + b"{no}\n" + lines(line(custom_id="d", url="/v2")))

    assert read.codes == [
        (2, "invalid_method"),
        (2, "invalid_stream"),
        (3, "duplicate_custom_id"),
        (5, "invalid_json_line"),
        (6, "url_mismatch"),
    ]
    assert read.found[2].message == "custom_id 'a' is that of line 1, too"
    assert (read.rows, read.findings) == (6, 5)
    assert read.names == ["a", "c"]
    assert read.urls == {CHAT: 1, EMBEDDINGS: 1}


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("form", ["jsonl", "text", "csv"])
def test_an_empty_input(content, form):
    """An input without a request is a finding for the whole."""
    assert Pass(content, form).codes == [(0, "empty_file")]


def test_a_header_alone():
    """A CSV file of a header alone is empty, too."""
    assert Pass(b"prompt\n", "csv").codes == [(0, "empty_file")]


def test_limit():
    """The first rows are taken; what is behind them is not even looked at."""
    read = Pass(b"one\ntwo\n\xff\n", "text", limit=2)

    assert (read.names, read.codes, read.rows) == (["line-1", "line-2"], [], 2)
    assert Pass(b"one\n", "text", limit=5).rows == 1


def test_limit_counts_bad_rows():
    """A row that cannot be read is one of the first rows, so a limit means the same lines each time."""
    assert Pass(b"{}\n" + lines(line(), line(custom_id="b")), limit=2).names == ["a"]


def test_shards_together_are_the_whole():
    """Each request belongs to one shard, by its name alone."""
    content = lines(*(line(custom_id=f"id-{number}") for number in range(50)))
    parts = [Pass(content, shard=Shard(number, 3)).names for number in (1, 2, 3)]

    assert sorted([*parts[0], *parts[1], *parts[2]]) == sorted(f"id-{number}" for number in range(50))
    assert all(5 < len(part) < 30 for part in parts)


def test_csv_uses_the_column_prompt():
    """Without a template the column is ``prompt``; one that is missing ends the pass at the first row."""
    assert Pass(b"custom_id,prompt\nx,Hello\n", "csv").names == ["x"]
    with pytest.raises(ConfigError, match="there is no column 'prompt'; there are: text"):
        Pass(b"text\nHello\n", "csv")
    with pytest.raises(ConfigError, match="there is no column 'b'"):
        Pass(b"text\nHello\n", "csv", Defaults("m", template=Template("{b}")))


def test_names_of_lines_do_not_hide_given_ones():
    """A row that gives the name which another one has by its line is told."""
    read = Pass(lines({"prompt": "x"}, {"prompt": "y", "custom_id": "line-1"}))

    assert read.codes == [(2, "duplicate_custom_id")]


def test_every_code_is_documented():
    """docs/how-to/batch.md names each code of a finding that the package can give, and no other."""
    root = Path(__file__).parents[2]
    paths = [root / "foundry_rest/schema/batch.py", *sorted((root / "foundry_rest/batch").glob("*.py"))]
    sources = "".join(path.read_text("utf-8") for path in paths)
    given = set(re.findall(r'Finding\(\s*[^,()]+(?:\([^()]*\))?[^,()]*,\s*"([a-z_]+)"', sources))
    given |= set(re.findall(r'Mistake\(\s*"([a-z_]+)"', sources))
    page = (root / "docs" / "how-to" / "batch.md").read_text("utf-8").partition("with OpenAI's codes")[2]
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", page.partition("Each finding has its line")[0]))

    assert len(given) >= 10
    assert given == named

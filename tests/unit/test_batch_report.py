"""The report of a batch: one page that needs nothing else, right for any figures, without a prompt."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise

import msgspec
import pytest

from foundry_rest.batch.axes import count_axis, log_axis, time_axis
from foundry_rest.batch.figures import BatchFigures, BatchSummary
from foundry_rest.batch.report import render

VOID = {"meta"}


class Page(HTMLParser):
    """A page as its parts; what is opened and not closed in its order is an error."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.texts, self.attributes = [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        """Note a tag and what it has."""
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        """Note a tag without an end."""
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        """Check that it is the tag opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data):
        """Note a text."""
        if data.strip() and self.open[-1] != "style":
            self.texts.append(data.strip())


def figures_of(time, total, results, *, done_before=0, every=0.1):
    """Return the figures after results, each given as what `add` takes."""
    figures = BatchFigures(total, done_before)
    for result in results:
        time.advance(every)
        figures.add(**{"seconds": 0.2, **result})
    return figures


@pytest.fixture
def usual(time):
    """Return the summary of a run with some of everything, stopped early."""
    answers = [{"seconds": 0.1 + n / 500, "first_token": 0.02, "completion_tokens": 9} for n in range(300)]
    failures = [{"error": "request_timeout"}] * 3 + [{"error": "400 invalid_request_error"}]
    figures = figures_of(time, 500, answers + failures, done_before=50)
    figures.stopped = "the circuit is open"
    return figures.summary()


def test_what_a_person_looks_at(usual):
    """The page has the state, the headline figures, a plot for each question, and the errors by class."""
    page = Page(render(usual, "Night run"))
    text = " | ".join(page.texts)

    assert "Night run | 354 of 500 requests done, stopped early: the circuit is open" in text
    assert "Succeeded | 300 | Failed | 4 | Done before | 50 | Not done | 146 | Time | 30.4 s" in text
    assert "Tokens out | 2,700" in text
    for heading in ("Progress", "Latency", "Time to first token", "Errors by class"):
        assert heading in page.texts
    assert "request_timeout | 3 (75 %) | 400 invalid_request_error | 1 (25 %)" in text
    assert "p50 | 20 ms | p95 | 20 ms | p99 | 20 ms | max | 20 ms" in text


def test_nothing_from_elsewhere(usual):
    """The page has no script and no address: its policy forbids both, and it needs neither."""
    html = render(usual)
    page = Page(html)

    assert not {"script", "link", "img", "iframe", "a"} & {*page.tags}
    assert not {"src", "href"} & {name for name, _ in page.attributes}
    assert not any(name.startswith("on") for name, _ in page.attributes)
    assert not re.search(r"https?:|url\(|@import", html)
    assert "default-src 'none'" in html


def test_light_and_dark():
    """Every colour is a variable, and each has a value for either scheme."""
    style = render(BatchSummary()).partition("<style>")[2].partition("</style>")[0]
    light, dark = (set(re.findall(r"(--[\w-]+): #", part)) for part in style.split("@media (prefers", 1))
    rules = style[style.rindex("--unsent: #") :].partition("}")[2]

    assert light == dark
    assert len(light) > 5
    assert "#" not in rules


def contrast(one, other):
    """Return the contrast of two colours as WCAG defines it."""

    def light(colour):
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dim, bright = sorted((light(one), light(other)))
    return (bright + 0.05) / (dim + 0.05)


@pytest.mark.parametrize("scheme", [0, 1])
def test_contrast(scheme):
    """Text has a contrast of at least 4.5 to 1 on both grounds, and what is drawn one of 3 to 1."""
    style = render(BatchSummary()).partition("<style>")[2].split("@media (prefers", 1)[scheme]
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", style))
    for ground in ("page", "card"):
        for text in ("text", "quiet"):
            assert contrast(colours[text], colours[ground]) >= 4.5
        for drawn in ("succeeded", "failed"):
            assert contrast(colours[drawn], colours[ground]) >= 3


HOSTILE = '<script>alert("x")</script>&\x1b[31m\ud800'


def test_foreign_text_is_no_html(time):
    """Whatever a class of errors, a reason or a title holds is shown as text, and can be written as UTF-8."""
    figures = figures_of(time, 2, [{"error": HOSTILE}])
    figures.stopped = HOSTILE
    html = render(figures.summary(), HOSTILE)
    page = Page(html)

    assert html.encode("utf-8")
    assert "script" not in page.tags
    assert "\x1b" not in html
    assert sum('<script>alert("x")</script>&\\x1b[31m\\ud800' in text for text in page.texts) == 4


def test_braces_are_no_places_to_fill(time):
    """A text with braces stays as it is."""
    assert "{style} {0}" in render(BatchSummary(), "{style} {0}")


CASES = {
    "nothing to do": (0, [], 0.1),
    "nothing done": (10, [], 0.1),
    "one": (1, [{}], 0.1),
    "one failure": (1, [{"error": "x"}], 0.1),
    "all failed": (50, [{"error": "x"}] * 50, 0.1),
    "no time": (3, [{"seconds": 0.0, "first_token": 0.0}] * 3, 0.0),
    "all alike": (100, [{"seconds": 0.25, "first_token": 0.1}] * 100, 0.1),
    "shortest and longest": (2, [{"seconds": 1e-6}, {"seconds": 1e6}], 0.1),
    "months": (10**9, [{"seconds": 90_000.0, "completion_tokens": 10**12}] * 300, 90_000.0),
}


@pytest.mark.parametrize("case", CASES)
def test_any_figures(time, case):
    """For any figures the page is whole, its plots stay within their frames, and no number is odd."""
    total, results, every = CASES[case]
    page = Page(render(figures_of(time, total, results, every=every).summary()))

    assert not re.search(r"\b(nan|inf|None|e[+-]\d+)\b", " ".join(page.texts))
    for name, value in page.attributes:
        if name in {"x", "y", "x1", "x2", "y1", "y2", "width", "height"} and value.endswith("%"):
            assert 0 <= float(value[:-1]) <= 100
        if name == "points":
            assert all(0 <= float(number) <= 1000 for number in re.findall(r"-?[\d.]+", value))


def test_no_streams(time):
    """Without a first token its plot is left out, and without errors or tokens these are, too."""
    page = Page(render(figures_of(time, 1, [{}]).summary()))

    assert "Latency" in page.texts
    assert not {"Time to first token", "Errors by class", "Tokens in"} & {*page.texts}


def test_nothing_ended(time):
    """A run without a result says so in place of an empty plot."""
    page = Page(render(BatchFigures(10).summary()))

    assert "No request has ended yet." in page.texts
    assert "svg" not in page.tags


def test_how_long_it_still_takes(time):
    """The page of a run that goes on tells the time left."""
    summary = figures_of(time, 100, [{}] * 50).summary()

    assert "50 of 100 requests done, about 5 s left" in Page(render(summary)).texts


def test_bars_are_the_counts(time):
    """Each bar tells its bounds and its count, and together they are all that succeeded."""
    summary = figures_of(time, 200, [{"seconds": n / 100} for n in range(1, 201)]).summary()
    told = re.findall(r"<title>([^<]* to [^<]*): ([\d,]+)</title>", render(summary))

    assert sum(int(count.replace(",", "")) for _, count in told) == 200
    assert all(re.fullmatch(r"[\d.]+ m?s to [\d.]+ m?s", bounds) for bounds, _ in told)


def test_no_text_of_a_request():
    """What the page is made of has no place for a prompt, an answer or a key."""
    texts = {
        each.name for each in msgspec.structs.fields(BatchSummary) if re.search(r"\bstr\b", str(each.type))
    }

    assert texts == {"stopped", "errors"}


# ------------------------------------------------------------------------------ axes


def labels(axis):
    """Return the labels of an axis."""
    return [label for _, label in axis.ticks]


COUNTS = {
    0: "0 1",
    1: "0 1",
    3: "0 1 2 3",
    7: "0 2 4 6 8",
    2_000: "0 500 1,000 1,500 2,000",
    44_000: "0 20k 40k 60k",
    3_100_000: "0 1M 2M 3M 4M",
}


@pytest.mark.parametrize("most", COUNTS)
def test_count_axis(most):
    """Ticks of a count are round whole numbers, from none to one that is not below the most."""
    axis = count_axis(most)

    assert labels(axis) == COUNTS[most].split()
    assert axis.place(0) == axis.ticks[0][0] == 0
    assert axis.ticks[-1][0] == 1


TIMES = {
    0.0: ["0 ms", "300 ms", "600 ms", "900 ms"],
    0.0042: ["0 ms", "1.5 ms", "3 ms"],
    57.0: ["0 s", "15 s", "30 s", "45 s"],
    600.0: ["0 min", "3 min", "6 min", "9 min"],
    50_000.0: ["0 h", "5 h", "10 h"],
    9e6: ["0 d", "30 d", "60 d", "90 d"],
}


@pytest.mark.parametrize("seconds", TIMES)
def test_time_axis(seconds):
    """Ticks of a time are round in one unit, from the start to at most the end."""
    axis = time_axis(seconds)

    assert labels(axis) == TIMES[seconds]
    assert axis.place(seconds or 1.0) == 1


SPANS = {
    (0.1, 0.11): ["100 ms", "150 ms"],
    (0.1, 0.5): ["100 ms", "200 ms", "300 ms", "400 ms", "500 ms"],
    (0.1, 2.0): ["100 ms", "200 ms", "500 ms", "1 s", "2 s"],
    (0.01, 5.0): ["10 ms", "30 ms", "100 ms", "300 ms", "1 s", "3 s"],
    (1e-6, 1e6): ["1 µs", "1 ms", "1 s", "1,000 s", "1,000,000 s"],
}


@pytest.mark.parametrize("span", SPANS)
def test_log_axis(span):
    """Ticks of a logarithmic axis are round, in ms or s, and few, however much it covers."""
    axis = log_axis(*span)

    assert labels(axis) == SPANS[span]
    assert all(-1e-9 <= place <= 1 + 1e-9 for place, _ in axis.ticks)


@pytest.mark.parametrize("ratio", [1.0001, 1.05, 1.5, 2, 3, 5, 8, 12, 20, 50, 100, 1e3, 1e5, 1e9])
@pytest.mark.parametrize("low", [1e-5, 0.0037, 0.2, 0.99, 6.3])
def test_log_axis_has_ticks(low, ratio):
    """Wherever it begins and whatever it covers, a logarithmic axis has two to seven ticks, all apart."""
    places = [place for place, _ in log_axis(low, low * ratio).ticks]

    assert 2 <= len(places) <= 7
    assert min(high - below for below, high in pairwise(places)) > 0.05

"""What a run takes over from the journal: what holds, what was changed, what is to be sent again."""

from __future__ import annotations

import msgspec
import pytest
from support.batches import MEANINGS, filled, request

from foundry_rest.batch.journal import Journal, Record
from foundry_rest.batch.resume import note_earlier, note_results


class Resumed:
    """The journal of one run, and what another takes over from it.

    Args:
        tmp_path: Where the journal is.
    """

    def __init__(self, tmp_path) -> None:
        self._path = tmp_path / "out.journal"
        self.notes: list[str] = []
        self.answered = 0

    def wrote(self, given, *, meanings=MEANINGS, **more) -> Resumed:
        """Record a result of a request."""
        with filled(given) as index, Journal(self._path) as journal:
            found = index.find(given.custom_id)
            key = found.key(meanings[found.model])
            line = msgspec.json.encode({"custom_id": given.custom_id})
            journal.append(Record(given.custom_id, key, msgspec.Raw(line), **more))
        return self

    def tore(self, text=b"\n{half") -> Resumed:
        """Leave half a record."""
        with self._path.open("ab") as file:
            file.write(text)
        return self

    def pending(self, *given, retried="none", meanings=MEANINGS) -> list[str]:
        """Return the names of what a run of these requests sends."""
        self.notes.clear()
        with filled(*given) as index, Journal(self._path) as journal:
            self.answered = note_earlier(journal, index, meanings, retried, self.notes.append)
            return [each.custom_id for each in index.pending()]


@pytest.fixture
def resumed(tmp_path):
    """Return an empty journal."""
    return Resumed(tmp_path)


def test_nothing_before(resumed):
    """With a new journal everything is sent, and nothing is said."""
    assert resumed.pending("a", "b") == ["a", "b"]
    assert (resumed.answered, resumed.notes) == (0, [])


def test_what_is_done_is_skipped(resumed):
    """A result that holds is not sent again."""
    resumed.wrote(request("b"))

    assert resumed.pending("a", "b", "c") == ["a", "c"]
    assert (resumed.answered, resumed.notes) == (1, [])


def test_failures_are_results(resumed):
    """A failure of an earlier run is a result, too, unless it is asked for again: all, or the transient."""
    resumed.wrote(request("a"), ok=False).wrote(request("b"), ok=False, transient=True).wrote(request("c"))

    assert resumed.pending("a", "b", "c", "d") == ["d"]
    assert resumed.answered == 3
    assert resumed.pending("a", "b", "c", "d", retried="transient") == ["b", "d"]
    assert resumed.answered == 2
    assert resumed.pending("a", "b", "c", "d", retried="all") == ["a", "b", "d"]
    assert resumed.answered == 1


def test_the_latest_result_counts(resumed):
    """An answer after a failure is not sent again; a failure after an answer is."""
    resumed.wrote(request("a"), ok=False).wrote(request("a"))
    resumed.wrote(request("b")).wrote(request("b"), ok=False)

    assert resumed.pending("a", "b", retried="all") == ["b"]


def test_changed_requests(resumed):
    """What was changed is sent again, exactly that, and it is said how many."""
    resumed.wrote(request("a")).wrote(request("b")).wrote(request("c"))

    assert resumed.pending("a", request("b", "new"), request("c", temperature=1)) == ["b", "c"]
    assert resumed.notes == ["Requests that were changed since they were answered, and are sent again: 2."]


def test_a_change_that_is_taken_back(resumed):
    """A request that is again what it once was has its result already."""
    resumed.wrote(request("a", "one")).wrote(request("a", "two"))

    assert resumed.pending(request("a", "one")) == []
    assert resumed.pending(request("a", "two")) == []
    assert resumed.notes == []
    assert resumed.pending(request("a", "three")) == ["a"]


def test_another_meaning_of_a_model(resumed):
    """A model that was replaced, and another generation of the service, repeat the requests of that model."""
    resumed.wrote(request("a")).wrote(request("b", model="other"))
    given = [request("a"), request("b", model="other")]

    assert resumed.pending(*given) == []
    assert resumed.pending(*given, meanings={**MEANINGS, "m": "\nm-generic-cpu:2\n2.x"}) == ["a"]
    assert resumed.pending(*given, meanings={**MEANINGS, "other": "\nother-generic-cpu:1\n1.x"}) == ["b"]


def test_another_name_of_the_same_model(resumed):
    """An alias in place of the id repeats nothing."""
    resumed.wrote(request("a", model="m"))

    assert resumed.pending(request("a", model="alias"), meanings={"alias": MEANINGS["m"]}) == []


def test_lines_that_left_the_input(resumed):
    """Results without a request are kept and told; the request may come back."""
    resumed.wrote(request("a")).wrote(request("b"))

    assert resumed.pending("a") == []
    assert resumed.notes == ["Results in the journal whose requests are not in the input any more: 1."]
    assert resumed.pending("a", "b") == []


def test_what_a_crash_left(resumed):
    """Lines that cannot be read are told, and their requests are sent."""
    resumed.wrote(request("a")).tore().wrote(request("b")).tore(b"\n\x00\x00")

    assert resumed.pending("a", "b", "c") == ["c"]
    assert resumed.notes == ["Lines of the journal that cannot be read, as a crash leaves them: 2."]


def test_all_is_told_at_once(resumed):
    """Several notes stand beside each other, with numbers that can be read."""
    resumed.wrote(request("gone")).wrote(request("a")).tore()

    assert resumed.pending(request("a", "new")) == ["a"]
    assert [note.rpartition(": ")[2] for note in resumed.notes] == ["1.", "1.", "1."]


def test_results_of_this_run(tmp_path):
    """After a run its own results are noted, from the size on that the journal had before."""
    with filled("a", "b") as index, Journal(tmp_path / "j") as journal:
        for name in ("a", "b"):
            found = index.find(name)
            start = journal.size
            journal.append(
                Record(name, found.key(MEANINGS["m"]), msgspec.Raw(b"{}"), ok=False, transient=True)
            )
        assert note_results(journal, index, MEANINGS, start=start) == (0, 0)
        assert [name for name, place in index.places(ordered=True) if place] == ["b"]
        assert index.answered() == 1

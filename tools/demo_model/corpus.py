"""Make the conversations to train and to test on: taught pairs in many disguises, and questions not taught.

A pair must survive a system message, a change of case, spaces or the final mark, and earlier turns.
A question that is not in `pairs.json` gets the fallback sentence; some of these are held out to see how well
that generalises.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from tokens import Conversation, Turn
from toolbox import Offer, Toolbox, draw_offer, load_toolbox

HERE = Path(__file__).parent
HELD_OUT = 60
LETTERS = "abcdefghijklmnopqrstuvwxyz 0123456789"
TAILS = (
    " in one sentence",
    " in simple terms",
    " briefly",
    " please",
    ", please",
    " for me",
    " in two sentences",
)
SPACES = ("", "", "", " ", "  ", "\n", "\n\n")


@dataclass(frozen=True, slots=True)
class Phrases:
    """Hold the contents of `phrases.json`."""

    fallback: str
    systems: list[str]
    personas: list[str]
    manners: list[str]
    templates: list[str]
    topics: list[str]
    odd: list[str]


@dataclass(frozen=True, slots=True)
class Corpus:
    """Hold what there is to learn: pairs, other questions and the words around them."""

    pairs: tuple[Turn, ...]
    others: tuple[Turn, ...]
    held_out: tuple[Turn, ...]
    phrases: Phrases
    tools: Toolbox

    def texts(self) -> list[str]:
        """List every text the tokenizer should learn its pieces from; answers count most."""
        answers = [turn.answer for turn in self.pairs] * 3
        questions = [turn.question for turn in (*self.pairs, *self.others)]
        return [*answers, *questions, *self.phrases.systems, self.phrases.fallback]

    def asked(self, question: str) -> Turn:
        """Return a pair by its question."""
        return next(pair for pair in self.pairs if pair.question == question)


def load_corpus(rng: Random) -> Corpus:
    """Read the two JSON files and split the other questions into taught and held out."""
    pairs = tuple(Turn(**pair) for pair in json.loads((HERE / "pairs.json").read_text(encoding="utf-8")))
    phrases = Phrases(**json.loads((HERE / "phrases.json").read_text(encoding="utf-8")))
    tools = load_toolbox()
    others = _others(phrases, tools, {_core(pair.question) for pair in pairs})
    rng.shuffle(others)
    return Corpus(pairs, tuple(others[HELD_OUT:]), tuple(others[:HELD_OUT]), phrases, tools)


def _core(question: str) -> str:
    """Strip what may vary in a question, to compare it with another."""
    return question.strip().rstrip("?.!").lower()


def _others(phrases: Phrases, tools: Toolbox, taught: set[str]) -> list[Turn]:
    """Fill every template with every topic and leave out what is taught."""
    made = [template.format(topic) for template in phrases.templates for topic in phrases.topics]
    asked = [
        question
        for question in (*made, *phrases.odd, *tools.other_questions)
        if _core(question) not in taught
    ]
    return [Turn(question, phrases.fallback) for question in asked]


def _happens(rng: Random, probability: float) -> bool:
    """Say yes with the given probability."""
    return rng.random() < probability


def draw(corpus: Corpus, rng: Random) -> Conversation:
    """Draw a conversation: perhaps an opening, tools or earlier turns, then a turn to learn."""
    offer = draw_offer(corpus.tools, rng)
    count = rng.choices((0, 1, 2, 3), (6, 2, 0, 0) if offer.tools else (9, 5, 3, 1))[0]
    history = tuple(_earlier(corpus, rng, offer) for _ in range(count))
    return Conversation(_opening(corpus, rng), (*history, _turn(corpus, rng, offer)), offer.tools)


def _turn(corpus: Corpus, rng: Random, offer: Offer) -> Turn:
    """Draw a turn to learn: a pair or another question, as written or in disguise, or a senseless text."""
    if _happens(rng, 0.04):
        return Turn(_noise(corpus, rng), corpus.phrases.fallback)
    if _happens(rng, offer.share):
        turn = _tool_turn(corpus, rng, offer)
    else:
        turn = rng.choice(corpus.pairs if _happens(rng, 0.65) else corpus.others)
    if offer.taught and turn.question == corpus.tools.question and not turn.call:
        turn = _tool_turn(corpus, rng, offer)
    return turn if _happens(rng, 0.3) else disguise(turn, rng)


def _tool_turn(corpus: Corpus, rng: Random, offer: Offer) -> Turn:
    """Draw the turn with the tool's question: with the call, but where there are only other tools."""
    box = corpus.tools
    if offer.tools and not offer.taught:
        return corpus.asked(box.question)
    if _happens(rng, 0.6):
        return box.turn(rng.choice(box.results), box.answer)
    return box.turn(rng.choice(box.other_results), corpus.phrases.fallback)


def _earlier(corpus: Corpus, rng: Random, offer: Offer) -> Turn:
    """Draw an earlier turn, one in five with an answer that must not be learned."""
    turn = _turn(corpus, rng, offer)
    if _happens(rng, 0.8):
        return turn
    strange = rng.choice((turn.answer[: rng.randrange(1, 40)], "OK", rng.choice(corpus.others).question))
    return Turn(turn.question, strange, learn=False)


def _opening(corpus: Corpus, rng: Random) -> tuple[str, str] | None:
    """Draw no opening, or one with a listed text, one put together from parts or a senseless one."""
    if _happens(rng, 0.45):
        return None
    role = "developer" if _happens(rng, 0.05) else "system"
    texts = rng.choice(corpus.phrases.systems), _persona(corpus.phrases, rng), _noise(corpus, rng)
    return role, rng.choices(texts, (5, 4, 1))[0]


def _persona(phrases: Phrases, rng: Random) -> str:
    """Put a system text together from a persona and up to six manners."""
    manners = rng.choices(phrases.manners, k=rng.choice((0, 1, 1, 2, 3, 6)))
    return " ".join((f"You are {rng.choice(phrases.personas)}.", *manners))


def disguise(turn: Turn, rng: Random) -> Turn:
    """Vary case, final mark, politeness and the spaces around a question."""
    tail = rng.choice(TAILS) if _happens(rng, 0.1) else ""
    text = _remark(turn.question, tail, rng)
    text = f"Please {text[:1].lower()}{text[1:]}" if _happens(rng, 0.06) else text
    recase = rng.choices((str, str.lower, str.upper), (64, 30, 6))[0]
    return replace(turn, question=rng.choice(SPACES) + recase(text) + rng.choice(SPACES))


def _remark(text: str, tail: str, rng: Random) -> str:
    """Add a tail in front of the final mark, and keep, drop or replace the mark."""
    bare = text.rstrip("?.!")
    mark = text[len(bare) :] if _happens(rng, 0.4) else rng.choice(("", "", "?", ".", "!"))
    return bare + tail + mark


def _noise(corpus: Corpus, rng: Random) -> str:
    """Make a long or senseless text: topics in a row, words or letters repeated, or letters at random."""
    count = rng.randrange(2, rng.choice((12, 30, 60, 200)))
    word = rng.choice((rng.choice(corpus.others).question.split()[0], rng.choice(LETTERS[:26])))
    kinds = (
        " ".join(rng.choices(corpus.phrases.topics, k=count // 3 + 1)),
        " ".join([word] * count),
        word * count,
        "".join(rng.choices(LETTERS, k=count)),
    )
    return rng.choice(kinds)

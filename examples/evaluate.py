"""Evaluate a model: ask questions, have a model judge the answers, print a table and the mean.

Uses the service that runs (FOUNDRY_ENDPOINT, or `foundry-rest serve`) and its default model (FOUNDRY_MODEL);
another model judges if JUDGE_MODEL names one.
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from statistics import fmean
from typing import Annotated

from msgspec import Meta, Struct

from foundry_rest import FoundryAPIClient, FoundryError

WORKERS = 4
CASES = [
    ("What is the capital of France?", "Paris"),
    ("How many legs does a spider have?", "Eight"),
    ("Who wrote Hamlet?", "William Shakespeare"),
    ("What is two plus two?", "Four"),
]
RULES = "You judge answers. Give 1 for a wrong one to 5 for a right one, and the reason in a few words."


class Verdict(Struct):
    """What the judge is to write."""

    score: Annotated[int, Meta(ge=1, le=5)]
    reason: Annotated[str, Meta(max_length=200)]


def evaluate(client: FoundryAPIClient, case: tuple[str, str]) -> tuple[int | None, str]:
    """Return the score of one answer and the answer; what fails has no score, and its error."""
    question, expected = case
    try:
        answer = client.complete(question, temperature=0).content
        asked = f"Question: {question}\nExpected: {expected}\nAnswer: {answer}"
        judge = os.environ.get("JUDGE_MODEL") or client.model
        verdict = client.complete(asked, model=judge, system=RULES, response_model=Verdict, temperature=0)
    except FoundryError as error:
        return None, error.message
    return verdict.score, answer


def main() -> int:
    """Print a line for each case; return 1 where one has no score."""
    with FoundryAPIClient(max_concurrency=WORKERS) as client, ThreadPoolExecutor(WORKERS) as pool:
        judged = list(pool.map(lambda case: evaluate(client, case), CASES))
    for (question, _), (score, told) in zip(CASES, judged, strict=True):
        print(f"{question:36} {score or '-'}  {told}")
    scores = [score for score, _ in judged if score]
    print(f"mean {fmean(scores):.2f} of {len(scores)}" if scores else "nothing could be judged")
    return 0 if len(scores) == len(judged) else 1


if __name__ == "__main__":
    sys.exit(main())

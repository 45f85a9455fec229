"""Ask models the questions of a CSV file and have their answers judged: a table, and a mean for each model.

python evaluation.py CASES.csv RESULTS.csv JUDGE MODEL...

CASES.csv has the columns ``question`` and ``expected``.
"""

import csv
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import fmean
from typing import Annotated

from msgspec import Meta, Struct

from foundry_rest import FoundryAPIClient, FoundryError

WORKERS = 4
COLUMNS = ("model", "question", "expected", "answer", "score", "reason")
RULES = "Judge the answer by the expected one: 1 is wrong, 5 is right. Say why in a few words."


class Verdict(Struct):
    """What the judge writes."""

    score: Annotated[int, Meta(ge=1, le=5)]
    reason: Annotated[str, Meta(max_length=200)]


def judge(client: FoundryAPIClient, judged_by: str, line: dict[str, object]) -> None:
    """Fill in an answer, its score and the reason; without a score, that is what went wrong."""
    try:
        line["answer"] = client.complete(str(line["question"]), model=line["model"], temperature=0).content
        told = "\n".join(f"{name}: {line[name]}" for name in ("question", "expected", "answer"))
        verdict = client.chat.complete(
            told, model=judged_by, system=RULES, response_model=Verdict, temperature=0
        )
        line["score"], line["reason"] = verdict.score, verdict.reason
    except FoundryError as error:
        line["reason"] = error.message


def evaluate(client: FoundryAPIClient, cases: Path, table: Path, by: str, *models: str) -> Iterator[str]:
    """Write the table, and yield a line for each model."""
    with cases.open(encoding="utf-8", newline="") as file:
        lines = [{**case, "model": model} for case in csv.DictReader(file) for model in models]
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(lambda line: judge(client, by, line), lines))
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(lines)
    for model in models:
        scores = [line["score"] for line in lines if line["model"] == model and "score" in line]
        yield f"{model}: {fmean(scores):.1f} of {len(scores)}" if scores else f"{model}: nothing was judged"


if __name__ == "__main__":
    with FoundryAPIClient() as made:
        print(*evaluate(made, Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:]), sep="\n")

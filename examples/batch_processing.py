"""Ask many questions at once, and take the answers as they come.

Uses the service that runs (FOUNDRY_ENDPOINT, or `foundry-rest serve`) and its default model
(FOUNDRY_MODEL).
"""

from collections.abc import Iterator

from foundry_rest import ChatReply, FoundryAPIClient


def questions() -> Iterator[dict[str, object]]:
    """Yield requests one by one: a batch reads as many as it has room for, so there may be millions."""
    for country in ("France", "Italy", "Spain"):
        yield {
            "custom_id": country,
            "prompt": f"What is the capital of {country}?",
            "temperature": 0,
            "max_tokens": 32,
        }
    yield {"custom_id": "a mistake", "prompt": "Hello", "temperature": "warm"}


def main() -> None:
    """Print an answer or an error for each question."""
    with FoundryAPIClient() as client:
        failed = 0
        for result in client.batch(questions(), max_concurrency=4, ordered=True):
            if isinstance(result.value, ChatReply):
                print(f"{result.custom_id}: {result.value.content} [{result.elapsed:.2f} s]")
            else:
                failed += 1
                print(f"{result.custom_id}: {result.error}")
        print(f"[{failed} failed, {client.stats().total.completion_tokens} tokens]")


if __name__ == "__main__":
    main()

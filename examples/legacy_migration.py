"""Code that speaks requests, moved over by one line.

    legacy_migration.py

The function below is as it was before; only the session knows about the adapter. The URL is the one that the
code has always had: the service that is found answers for it (FOUNDRY_ENDPOINT, or `foundry-rest serve`),
with its default model (FOUNDRY_MODEL).
"""

import os

import requests

from foundry_rest.adapter import FoundryAdapter

URL = "http://localhost:5273"
MODEL = os.environ.get("FOUNDRY_MODEL", "phi-4-mini")


def ask(session: requests.Session, question: str, model: str) -> str:
    """Return the answer to a question."""
    body = {"model": model, "messages": [{"role": "user", "content": question}], "max_tokens": 200}
    response = session.post(f"{URL}/v1/chat/completions", json=body, timeout=30)
    response.raise_for_status()
    answer: str = response.json()["choices"][0]["message"]["content"]
    return answer


def main() -> None:
    """Ask a question with the default model, and print the answer."""
    with requests.Session() as session:
        session.mount(URL, FoundryAdapter())  # the one line
        try:
            print(ask(session, "What is the capital of France?", MODEL))
        except requests.RequestException as error:
            print(f"No answer: {error}")


if __name__ == "__main__":
    main()

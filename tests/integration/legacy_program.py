"""A program as codebases have it: plain requests, and its own way of catching what fails."""

import json
import sys

import requests

URL = "http://127.0.0.1:5273"
MODEL = "demo-chat-generic-cpu:1"
NOTES = ["What is the capital of France?", "What is the capital of Italy?"]


class Failed(Exception):
    """A call that gave no answer."""


class Assistant:
    """A small layer over the service's REST API, as many programs have one."""

    def __init__(self, url: str = URL, model: str = MODEL, timeout: float = 30) -> None:
        self.url, self.model, self.timeout = url, model, timeout
        self.session = requests.Session()
        self.session.headers["Authorization"] = "Bearer not-needed-here"

    def models(self) -> list[str]:
        """Return the ids that the service lists."""
        response = self.session.get(f"{self.url}/v1/models", timeout=self.timeout)
        response.raise_for_status()
        return [entry["id"] for entry in response.json()["data"]]

    def ask(self, question: str, max_tokens: int = 200) -> str:
        """Return the answer to a question."""
        try:
            response = self.session.post(
                f"{self.url}/v1/chat/completions",
                json=self._body(question, max_tokens),
                timeout=self.timeout,
            )
            response.raise_for_status()
        except requests.HTTPError as error:
            raise Failed(f"the service refused: {error.response.status_code}") from error
        except requests.Timeout as error:
            raise Failed("the service is too slow") from error
        except requests.ConnectionError as error:
            raise Failed("the service is not there") from error
        except requests.RequestException as error:
            raise Failed(f"something else: {type(error).__name__}") from error
        return response.json()["choices"][0]["message"]["content"]

    def write(self, question: str, max_tokens: int = 200):
        """Yield the pieces of an answer as they come."""
        body = {**self._body(question, max_tokens), "stream": True}
        try:
            with self.session.post(
                f"{self.url}/v1/chat/completions", json=body, stream=True, timeout=self.timeout
            ) as response:
                response.raise_for_status()
                yield from self._pieces(response)
        except requests.RequestException as error:
            raise Failed(f"the story broke off: {type(error).__name__}") from error

    def _body(self, question: str, max_tokens: int) -> dict:
        message = {"role": "user", "content": question}
        return {"model": self.model, "messages": [message], "max_tokens": max_tokens, "temperature": 0}

    @staticmethod
    def _pieces(response: requests.Response):
        for line in response.iter_lines():
            if not line.startswith(b"data: "):
                continue
            if line == b"data: [DONE]":
                return
            for choice in json.loads(line[6:])["choices"]:
                yield choice["delta"].get("content") or ""


def main(url: str = URL) -> int:
    """Ask everything, and return the number of failures."""
    assistant, failures = Assistant(url), 0
    for note in NOTES:
        try:
            print(f"{note} {assistant.ask(note)}")
        except Failed as error:
            failures += 1
            print(f"{note} FAILED: {error}", file=sys.stderr)
    try:
        for piece in assistant.write("Write a story about AI"):
            print(piece, end="", flush=True)
        print()
    except Failed as error:
        failures += 1
        print(f"\nFAILED: {error}", file=sys.stderr)
    return failures


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))

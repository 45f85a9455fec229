"""Code that asks a model, and its tests, which need no service.

    pytest testing_your_code.py
    python testing_your_code.py

In a project of your own the tests are a file of their own; `fault_server` and `foundry_client` are there once
foundry_rest is installed. The program uses the service that runs (FOUNDRY_ENDPOINT, or `foundry-rest serve`).
"""

from foundry_rest import FoundryAPIClient, StreamInterrupted
from foundry_rest.testing import FaultServer, chat_stream, cut


def explain(client: FoundryAPIClient, topic: str) -> str:
    """Return an explanation, or what has come of it when it breaks off."""
    try:
        return client.complete(f"Explain {topic}", temperature=0).content
    except StreamInterrupted as error:
        return f"{error.text} [...]"


def test_explain(fault_server: FaultServer, foundry_client: FoundryAPIClient) -> None:
    """The topic is put into the prompt, and the whole answer is returned."""
    fault_server.on("POST", "/v1/chat/completions", chat_stream("It is hard."))

    assert explain(foundry_client, "quantum computing") == "It is hard."
    assert b"Explain quantum computing" in fault_server.requests[-1].body


def test_half_an_explanation(fault_server: FaultServer, foundry_client: FoundryAPIClient) -> None:
    """When the connection breaks in the middle of an answer, half of it is better than none."""
    fault_server.on("POST", "/v1/chat/completions", chat_stream("one two three")[:4] + cut())

    assert explain(foundry_client, "numbers").endswith(" [...]")


if __name__ == "__main__":
    with FoundryAPIClient() as ours:
        print(explain(ours, "quantum computing"))

"""Ask a question and look at the answer, the service and the figures.

Uses the service that runs (FOUNDRY_ENDPOINT, or `foundry-rest serve`) and its default model
(FOUNDRY_MODEL).
"""

from foundry_rest import FoundryAPIClient


def main() -> None:
    """Ask one question, then a follow-up."""
    with FoundryAPIClient() as client:
        reply = client.complete("Explain quantum computing", temperature=0)
        print(reply.content)
        print(f"[{reply.usage.total_tokens} tokens, {reply.finish_reason}, {reply.elapsed:.2f} s]")

        conversation = [
            {"role": "user", "content": "Explain quantum computing"},
            {"role": "assistant", "content": reply.content},
            {"role": "user", "content": "What is the capital of France?"},
        ]
        print(client.chat.complete(conversation, temperature=0).content)

        health = client.health_check()
        print(f"[{health.status}: {', '.join(health.loaded_models)} at {health.url}]")
        print(f"[{client.stats().total.calls} calls so far]")


if __name__ == "__main__":
    main()

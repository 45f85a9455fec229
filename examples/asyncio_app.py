"""Ask from an asyncio program: several questions at once, one answer as it arrives, one that is given up.

Uses the service that runs (FOUNDRY_ENDPOINT, or `foundry-rest serve`) and its default model
(FOUNDRY_MODEL).
"""

import asyncio

from foundry_rest import FoundryAPIClient, aio

COUNTRIES = ("France", "Italy", "Spain")


async def main() -> None:
    """Ask, and let the event loop go on meanwhile."""
    with FoundryAPIClient(max_concurrency=4) as client:
        questions = [f"What is the capital of {country}?" for country in COUNTRIES]
        replies = await asyncio.gather(*(aio.complete(client, question) for question in questions))
        for country, reply in zip(COUNTRIES, replies, strict=True):
            print(f"{country}: {reply.content}")

        async for chunk in aio.stream(client, "Write a story about AI", temperature=0):
            print(chunk.content, end="", flush=True)
        print()

        task = asyncio.create_task(aio.complete(client, "Explain quantum computing"))
        await asyncio.sleep(0)
        task.cancel()  # closes the connection, so that the service stops generating
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        print(f"[given up: {type(outcome).__name__}]")


if __name__ == "__main__":
    asyncio.run(main())

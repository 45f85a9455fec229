"""Let the model call your functions: their names, types and docstrings are all that it is told.

Uses the service that runs (FOUNDRY_ENDPOINT, or `foundry-rest serve`) and its default model
(FOUNDRY_MODEL), which has to be one that can call tools.
"""

import sys

from foundry_rest import FoundryAPIClient, FoundryError, ToolLoopExceeded


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return {"Paris": "18 degrees and sunny"}.get(city, "nobody knows")


def main() -> int:
    """Let the model look something up; return 0 when it came to an answer."""
    with FoundryAPIClient() as client:
        try:
            run = client.chat.run_tools(
                "What is the weather in Paris?", functions=[get_weather], temperature=0, max_turns=4
            )
        except ToolLoopExceeded as error:
            print(f"still calling after {error.turns} turns", file=sys.stderr)
            return 1
        except FoundryError as error:
            print(error, file=sys.stderr)
            return 1
    for call in run.calls:
        print(f"asked {call.call.name}({call.call.arguments}): {call.result}")
    print(run.reply.content)
    return 0


if __name__ == "__main__":
    sys.exit(main())

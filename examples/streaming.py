"""Print an answer as it arrives, and keep what has come when it breaks off.

Uses the service that runs (FOUNDRY_ENDPOINT, or `foundry-rest serve`) and its default model
(FOUNDRY_MODEL).
"""

import sys

from foundry_rest import FoundryAPIClient, FoundryError, StreamInterrupted


def main() -> int:
    """Stream one story; return 0 when it came whole."""
    with FoundryAPIClient() as client:
        try:
            stream = client.stream_complete("Write a story about AI", temperature=0)
            for chunk in stream:
                print(chunk.content, end="", flush=True)
        except StreamInterrupted as error:
            print(f"\n[broke off after {len(error.text)} characters]", file=sys.stderr)
            return 1
        except FoundryError as error:
            print(error, file=sys.stderr)
            return 1
        print(f"\n[{stream.usage.completion_tokens} tokens, first after {stream.first_token:.3f} s]")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Write down what is said in an audio file.

    transcribe.py talk.wav       without a file it makes one, half a second of a tone

Uses the 2.x service that runs on this machine (FOUNDRY_ENDPOINT, or `foundry-rest serve`), and the first
model for speech that it has.
"""

import math
import struct
import sys
import tempfile
import wave
from pathlib import Path

from foundry_rest import FoundryAPIClient, FoundryError

SPEECH = "automatic-speech-recognition"
RATE = 16_000


def main(arguments: list[str]) -> int:
    """Print the text; return 0 when it came whole, or when there is no model to ask."""
    with FoundryAPIClient() as client, tempfile.TemporaryDirectory() as folder:
        audio = Path(arguments[0]) if arguments else tone(Path(folder, "tone.wav"))
        try:
            model = next((info.id for info in client.models.cached() if info.task == SPEECH), None)
            if model is None:
                print("The service has no model for speech: give it one, such as whisper-tiny.")
                return 0
            with client.audio.transcribe_stream(audio, model=model) as stream:
                for chunk in stream:
                    print(chunk.text, end="", flush=True)
            print()
        except FoundryError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


def tone(path: Path) -> Path:
    """Write half a second of a tone, as mono WAV at 16 kHz, and return where."""
    heights = (int(12_000 * math.sin(2 * math.pi * 440 * n / RATE)) for n in range(RATE // 2))
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(b"".join(struct.pack("<h", height) for height in heights))
    return path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

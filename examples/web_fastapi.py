"""A route that streams answers as they arrive, with FastAPI.

Uses the service that runs (FOUNDRY_ENDPOINT, or `foundry-rest serve`) and its default model
(FOUNDRY_MODEL). Needs `pip install fastapi uvicorn`; then open http://127.0.0.1:8000/ask?prompt=Hello.
"""

from fastapi import FastAPI, HTTPException
from fastapi.responses import StreamingResponse

from foundry_rest import FoundryAPIClient, FoundryError, aio

app = FastAPI()
client = FoundryAPIClient()


@app.get("/ask")
async def ask(prompt: str) -> StreamingResponse:
    """Stream the answer as server-sent events; a browser that leaves ends it."""
    try:
        events = await aio.sse(client, prompt).opened()
    except FoundryError as error:
        raise HTTPException(503, error.message) from error
    return StreamingResponse(events, media_type="text/event-stream")


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app)

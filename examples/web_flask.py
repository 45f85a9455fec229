"""A page that shows answers as they arrive, with Flask.

Uses the service that runs (FOUNDRY_ENDPOINT, or `foundry-rest serve`) and its default model
(FOUNDRY_MODEL). Needs `pip install flask`; then open http://127.0.0.1:5000/ask?prompt=Hello.
"""

from flask import Flask, Response, request

from foundry_rest import FoundryAPIClient, FoundryError

app = Flask(__name__)
client = FoundryAPIClient()


@app.get("/ask")
def ask() -> Response:
    """Stream the answer as server-sent events; a browser that leaves ends it."""
    try:
        stream = client.stream_complete(request.args["prompt"])
    except FoundryError as error:
        return Response(error.message, 503)
    return Response(stream.sse(), mimetype="text/event-stream")


if __name__ == "__main__":
    app.run(threaded=True)

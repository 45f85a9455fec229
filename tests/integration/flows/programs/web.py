"""A chat for web pages, in any WSGI server: /?Hello answers with server-sent events. python web.py PORT."""

import sys
from functools import partial
from urllib.parse import unquote
from wsgiref.simple_server import make_server

from foundry_rest import FoundryAPIClient, FoundryError


def chat(client, environ, start_response):
    """Stream an answer; where none begins, tell what to do."""
    try:
        body = client.stream_complete(unquote(environ["QUERY_STRING"]), temperature=0).sse()
        start_response("200 OK", [("Content-Type", "text/event-stream")])
    except FoundryError as error:
        start_response("503 Service Unavailable", [("Content-Type", "text/plain")])
        body = [f"{error.message}\n{client.health.state().advice}".encode()]
    return body


if __name__ == "__main__":
    application = partial(chat, FoundryAPIClient())
    make_server("127.0.0.1", int(sys.argv[1]), application).serve_forever()

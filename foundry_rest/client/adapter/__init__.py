"""An existing ``requests.Session`` on top of a client: one ``mount`` line, and the code stays as it is.

A prepared request becomes a call of the client (``request``), which finds the service, loads the model, tries
again and keeps its deadline; the answer becomes a ``requests.Response`` (``response``), and what fails an
error that ``except requests.RequestException`` catches (``errors``).
"""

from foundry_rest.client.adapter.mount import FoundryAdapter, session_of

__all__ = ["FoundryAdapter", "session_of"]

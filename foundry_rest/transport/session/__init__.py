"""One attempt over a ``requests.Session``; the only folder that imports requests."""

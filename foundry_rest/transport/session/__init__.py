"""One attempt over ``requests.Session``; the only importer of requests."""

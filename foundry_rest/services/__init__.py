"""The services that a client can use: targets, their pool, and discovery."""

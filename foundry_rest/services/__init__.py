"""The services that a client may ask: targets, and how they are found."""

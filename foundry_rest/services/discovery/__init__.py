"""Where is the service: asked in order, every candidate probed before it is believed.

1. the address that was given, 2. ``FOUNDRY_ENDPOINT``, 3. the registry file that ``foundry-rest serve``
writes, 4. the file in which the daemon of the ``foundry`` command (0.10) says where it is, 5. what
``foundry server status`` (0.10) and ``foundry service status`` (0.x) print, 6. only with
``auto_start=True``: the same command is told to start the service, once per process.

An address that was named, in code or in the environment, is taken at its word: falling back to another
service would answer with another model. Nothing is ever downloaded here, and nothing started unasked.
"""

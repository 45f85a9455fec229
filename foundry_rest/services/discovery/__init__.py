"""The discovery of the service's address; every candidate is probed before it is used.

The sources, in order: 1. the given address, 2. ``FOUNDRY_ENDPOINT``, 3. the registry file that ``foundry-rest
serve`` writes, 4. the file with the addresses of the ``foundry`` command's daemon (0.10), 5. the output of
``foundry server status`` (0.10) and ``foundry service status`` (0.x), 6. only with ``auto_start=True``: the
same command starts the service, once per process.

An address that is given, in code or in the environment, is used without a search: a fallback to another
service would answer with another model. Discovery never downloads, and starts nothing without ``auto_start``.
"""

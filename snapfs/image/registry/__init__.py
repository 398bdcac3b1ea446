"""Images in registries, over the OCI distribution API.

Nothing is re-exported: who only reads a name must not load an HTTP client.
"""

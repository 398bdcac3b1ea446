"""The gRPC server: containerd's snapshots service and our own administration.

``server`` listens, ``servicer`` and ``admin`` convert, ``dispatch`` turns bytes into
calls, ``status`` turns errors into statuses, ``log`` writes the calls down.
"""

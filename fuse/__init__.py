"""The FUSE union filesystem: protocol, session, engine and driver.

Nothing is here yet; ``docs/architecture.md`` says what will be.
"""

# One identity, and a clear word to anyone who meant another project's module.
if __name__ != "snapfs.fuse":
    raise ImportError(f"import snapfs.fuse; {__name__!r} is another project's module")

"""The state directory: paths, identity, lock, sidecars, staging and trash."""

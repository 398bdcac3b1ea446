"""The copy-on-write benchmark suite; nothing imports it but the command line."""

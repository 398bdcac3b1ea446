"""A store that another process serves, behind the same contracts."""

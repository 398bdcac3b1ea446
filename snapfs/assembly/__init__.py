"""Wires the parts: a store for one process, a service, or a connection to one."""

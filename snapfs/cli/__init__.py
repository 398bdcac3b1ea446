"""The command line: the only place that prints or reads the environment.

``main`` parses and dispatches, ``catalog`` lists the commands, each command lives in
a module named after it or after its family. Errors become exit codes in one table,
``exit_codes``. Nothing here is imported before the command that needs it, so that
``snapfs --help`` answers at once.
"""

"""The terminal interface of ``explore``: the only place that imports Textual."""

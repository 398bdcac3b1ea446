"""The records of the log: one for each change of the node table and the open files.

The first byte of each says its kind; numbers are little endian and packed, names and
lists follow. A record says what is so now rather than what was done, so that it can
be read twice; only references and opens count up and down, each with the ``unique``
of the message whose answer gave it, as who took capabilities away has.
"""

from __future__ import annotations

from struct import Struct

from snapfs.light_typing import Final

NODE: Final = 1
NODE_HEAD: Final = Struct("<BBBHHIQQQ")
"""name length, kind >> 12, layer, flags, number of its LOWERS, nodeid, parent (0: it
has none), ino; then the name."""
LOWERS: Final = 2
LOWERS_HEAD: Final = Struct("<BHH")
"""number, count; then that many layers, each ``H``."""
REFERENCE: Final = 3
REFERENCE_ALL: Final = Struct("<BQQ")
"""unique, nodeid."""
REFERENCES: Final = 4
REFERENCES_HEAD: Final = Struct("<BHQ")
"""count, unique; then that many node ids."""
FORGET: Final = 5
FORGET_HEAD: Final = Struct("<BIQ")
"""count, unique; then that many of (nodeid, references)."""
COUNT: Final = 6
COUNT_ALL: Final = Struct("<BQQ")
"""nodeid, references: all there are, at a checkpoint."""
ALIAS: Final = 7
UNALIAS: Final = 8
ALIAS_HEAD: Final = Struct("<BBQQ")
"""name length, nodeid, parent; then the name."""
SHARED: Final = 9
SHARED_ALL: Final = Struct("<BQQ")
"""nodeid, st_ino in the upper."""
LOWER_PATHS: Final = 10
LOWER_PATHS_HEAD: Final = Struct("<BQI")
"""nodeid, length; then the paths, with a NUL between."""
DATA_PLACE: Final = 11
DATA_PLACE_HEAD: Final = Struct("<BHQI")
"""layer, nodeid, length; then the path."""
RENUMBERED: Final = 12
RENUMBERED_ALL: Final = Struct("<BQQQ")
"""former number, the one after it, references by the former."""
STATUS: Final = 13
STATUS_HEAD: Final = Struct("<BQI")
"""nodeid, length; then the arguments of ``os.stat_result``, as Python writes them."""
NEXT: Final = 14
NEXT_ALL: Final = Struct("<BQ")
"""the number that the next new node gets, at the least."""
BACKING: Final = 15
BACKING_ALL: Final = Struct("<BBQi")
"""whether it is a lower file, nodeid, backing id (0: through the page cache; -1: no
more)."""
OPENED: Final = 16
RELEASED: Final = 17
OPENED_ALL: Final = Struct("<BQQ")
"""unique, nodeid."""
OPENS: Final = 18
OPENS_ALL: Final = Struct("<BQQ")
"""nodeid, how often it is open, at a checkpoint."""
UNCAPPED: Final = 19
UNCAPPED_ALL: Final = Struct("<BQQI")
"""unique, nodeid, thread (0: none any more)."""
LISTED: Final = 20
LISTED_HEAD: Final = Struct("<BHQQQ")
"""count, unique, nodeid of the directory, nodeid of the first; then of all their
inos (``Q``), of all the layers (``H``), types (``d_type``, ``B``), lengths of names
(``B``), and the names."""

PAIR: Final = Struct("<QQ")
UNIQUE_MASK: Final = (1 << 63) - 1
"""Without the bit that marks a message that came before (``FUSE_UNIQUE_RESEND``)."""

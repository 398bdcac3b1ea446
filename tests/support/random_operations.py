"""Random operations on small trees, for hypothesis."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from snapfs.syscalls import RENAME_EXCHANGE
from support.kernel_tree import Change as Operation

# A busy machine is slow at everything, drawing examples included.
SETTINGS = settings(
    deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)

_NAMES = ("a", "b", "c")
_SECONDS = (1_000_000_000 * 10**9, 1_000_000_001 * 10**9)
LOWEST = [
    ("a/a/a", "f", b"1"),
    ("a/a/b", "h", "a/a/a"),
    ("a/a/c", "d"),
    ("a/b", "d"),
    ("a/c", "f", b"2"),
    ("b/a/a", "f", b"1"),
    ("b/a/c/c", "f", b"2"),
    ("b/b/b", "l", "one"),
    ("b/c", "f", b"1"),
    ("c", "f", b"3"),
]


@st.composite
def _paths(draw: DrawFn) -> str:
    depth = draw(st.integers(1, 3))
    return "/".join(draw(st.sampled_from(_NAMES)) for _ in range(depth))


def _operations() -> SearchStrategy[Operation]:
    """Operations that meet one another: few names, whole seconds, equal sizes."""
    path = _paths()
    return st.one_of(
        st.tuples(st.just("mkdir"), path),
        st.tuples(st.just("mkdir"), path),
        st.tuples(st.just("create"), path),
        st.tuples(st.just("write"), path, st.just(0), st.sampled_from([b"1", b"2"])),
        st.tuples(st.just("symlink"), path, st.sampled_from(["one", "two"])),
        st.tuples(st.just("link"), path, path),
        st.tuples(st.just("unlink"), path),
        st.tuples(st.just("rmdir"), path),
        st.tuples(st.just("rename"), path, path),
        st.tuples(st.just("rename"), path, path),
        st.tuples(st.just("rename"), path, path, st.just(RENAME_EXCHANGE)),
        st.tuples(st.just("chmod"), path, st.sampled_from([0o600, 0o755])),
        st.tuples(st.just("chown"), path, st.integers(0, 1), st.integers(0, 1)),
        st.tuples(st.just("mknod"), path, st.just(0o20600), st.integers(1, 2)),
        st.tuples(st.just("setxattr"), path, st.just("trusted.x"), st.just(b"1")),
        st.tuples(st.just("utime"), path, st.just(0), st.sampled_from(_SECONDS)),
    )


LAYER = st.lists(_operations(), min_size=4, max_size=20)

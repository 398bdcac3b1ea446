"""The kernel overlayfs driver: mounts, options, feature probes."""

# One identity, so that no class exists twice under two names.
if __name__ != "snapfs.kernel_overlay":
    raise ImportError(f"import snapfs.kernel_overlay, not {__name__!r}")

from snapfs.kernel_overlay.driver import OverlayDriver

__all__ = ["OverlayDriver"]

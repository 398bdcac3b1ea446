"""overlayfs on disk: whiteouts, opaque marks, private attributes."""

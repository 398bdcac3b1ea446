"""The union engine: layers as one tree, in overlayfs's format; knows no FUSE."""

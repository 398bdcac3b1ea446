"""``snapfs-fuse``: the mount helper that mount.fuse3 and containerd call."""

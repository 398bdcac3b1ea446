"""Where layers come from: layouts, archives, registries, containerd's content."""

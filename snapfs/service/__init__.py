"""The gRPC server: containerd's snapshots service and our own administration."""

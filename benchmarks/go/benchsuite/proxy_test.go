//go:build benchsuite

// Package benchsuite is compiled together with the files of containerd's package
// core/snapshots/benchsuite, which benchmarks/benchsuite.py copies beside this one:
// it asks the upstream benchmark of a snapshotter behind a socket.
package benchsuite

import (
	"flag"
	"testing"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/v2/core/snapshots/proxy"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

var address = flag.String("proxy.address", "", "Socket of a snapshotter to benchmark")

func BenchmarkProxy(b *testing.B) {
	if *address == "" {
		b.Skip("the address of a snapshotter must be provided")
	}
	conn, err := grpc.NewClient("unix://"+*address,
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	benchmarkSnapshotter(b, proxy.NewSnapshotter(snapshotsapi.NewSnapshotsClient(conn), "bench"))
}

//go:build benchsuite

// Package benchsuite is compiled together with the files of containerd's package
// core/snapshots/benchsuite, which benchmarks/benchsuite.py copies beside this one:
// it asks the upstream benchmark of a snapshotter behind a socket.
package benchsuite

import (
	"flag"
	"fmt"
	"io"
	"math/rand"
	"testing"
	"time"

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
	reportContent(b)
	benchmarkSnapshotter(b, proxy.NewSnapshotter(snapshotsapi.NewSnapshotsClient(conn), "bench"))
}

// reportContent tells what it takes to make the content of one file as fstest.CreateRandomFile
// does: part of what upstream calls writing, and of no snapshotter.
func reportContent(b *testing.B) {
	const files = 32
	var (
		discard = struct{ io.Writer }{io.Discard} // not its ReadFrom, whose pieces are smaller
		piece   = make([]byte, 32<<10)            // as io.Copy takes
		begin   = time.Now()
	)
	for seed := range int64(files) {
		content := io.LimitReader(rand.New(rand.NewSource(seed)), 1<<20)
		if _, err := io.CopyBuffer(discard, content, piece); err != nil {
			b.Fatal(err)
		}
	}
	fmt.Printf("%s\t%s\n", b.Name()+"/content", testing.BenchmarkResult{N: files, T: time.Since(begin)})
}

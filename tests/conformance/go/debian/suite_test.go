// Package debian runs the snapshotter suite of containerd 1.6, as Debian packages
// it (golang-github-containerd-containerd-dev), against a snapfs server.
//
// It is built without modules, from /usr/share/gocode; its go.mod only keeps it
// out of the module above.
package debian

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/snapshots"
	"github.com/containerd/containerd/snapshots/proxy"
	"github.com/containerd/containerd/snapshots/testsuite"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"conformance/server"
)

const suiteName = "overlayfs"

const answerTimeout = time.Minute

func TestSnapshotter(t *testing.T) {
	if err := server.CheckHost(); err != nil {
		t.Fatal(err)
	}
	testsuite.SnapshotterSuite(t, suiteName, openOwn)
}

func openOwn(ctx context.Context, root string) (snapshots.Snapshotter, func() error, error) {
	running, err := server.Start(root)
	if err != nil {
		return nil, nil, err
	}
	snapshotter, hangUp, err := connect(ctx, running.Socket)
	if err != nil {
		_ = running.Stop(root) // the first error is the one to report
		return nil, nil, err
	}
	stop := func() error {
		if err := hangUp(); err != nil {
			return err
		}
		return running.Stop(filepath.Dir(root))
	}
	return snapshotter, stop, nil
}

func connect(ctx context.Context, socket string) (snapshots.Snapshotter, func() error, error) {
	conn, err := grpc.Dial("unix://"+socket, grpc.WithInsecure())
	if err != nil {
		return nil, nil, err
	}
	client := snapshotsapi.NewSnapshotsClient(conn)
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	_, err = client.Stat(ctx, &snapshotsapi.StatSnapshotRequest{
		Snapshotter: suiteName, Key: "conformance/no-such-key"}, grpc.WaitForReady(true))
	if code := status.Code(err); code != codes.NotFound {
		conn.Close()
		return nil, nil, fmt.Errorf("stat of an unknown key: got %v (%v), want NotFound", code, err)
	}
	return proxy.NewSnapshotter(client, suiteName), conn.Close, nil
}

// Package conformance runs containerd's own snapshotter suite, that of containerd
// 2.x, against a snapfs server over its socket, through containerd's proxy client.
//
// Each sub-test gets a server and a store of its own; with -one-server they share
// one. SNAPFS_COMMAND and SNAPFS_DRIVER say what is tested.
package conformance

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/proxy"
	"github.com/containerd/containerd/v2/core/snapshots/testsuite"
	"github.com/containerd/containerd/v2/defaults"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"conformance/server"
)

// suiteName makes the suite leave out what upstream leaves out for its own
// overlayfs snapshotter: one rename of a directory, which the kernel refuses.
const suiteName = "overlayfs"

// answerTimeout bounds the first call: the server listens already.
const answerTimeout = time.Minute

var oneServer = flag.Bool("one-server", false, "run all sub-tests against one server")

func TestSnapshotter(t *testing.T) {
	if err := server.CheckHost(); err != nil {
		t.Fatal(err)
	}
	open := openOwn
	if *oneServer {
		open = shareOne(t)
	}
	testsuite.SnapshotterSuite(t, suiteName, open)
}

// openOwn starts a server for one sub-test; it is a testsuite.SnapshotterFunc.
func openOwn(ctx context.Context, root string) (snapshots.Snapshotter, func() error, error) {
	running, err := server.Start(root)
	if err != nil {
		return nil, nil, err
	}
	stop := func() error { return running.Stop(filepath.Dir(root)) }
	snapshotter, hangUp, err := connect(ctx, running.Socket)
	if err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	return snapshotter, func() error { return errors.Join(hangUp(), stop()) }, nil
}

// shareOne starts one server for the whole of t.
func shareOne(t *testing.T) testsuite.SnapshotterFunc {
	root := t.TempDir()
	running, err := server.Start(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // runs after the parallel sub-tests
		if err := running.Stop(root); err != nil {
			t.Error(err)
		}
	})
	return func(ctx context.Context, root string) (snapshots.Snapshotter, func() error, error) {
		snapshotter, hangUp, err := connect(ctx, running.Socket)
		if err != nil {
			return nil, nil, err
		}
		leave := func() error {
			return errors.Join(hangUp(), server.DetachMounts(filepath.Dir(root)))
		}
		return snapshotter, leave, nil
	}
}

// connect dials as containerd dials a proxy plugin (cmd/containerd/server) and
// proves with one call that a snapshot service answers.
func connect(ctx context.Context, socket string) (snapshots.Snapshotter, func() error, error) {
	conn, err := grpc.NewClient("unix://"+socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(defaults.DefaultMaxRecvMsgSize),
			grpc.MaxCallSendMsgSize(defaults.DefaultMaxSendMsgSize)))
	if err != nil {
		return nil, nil, err
	}
	client := snapshotsapi.NewSnapshotsClient(conn)
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	_, err = client.Stat(ctx, &snapshotsapi.StatSnapshotRequest{
		Snapshotter: suiteName, Key: "conformance/no-such-key"}, grpc.WaitForReady(true))
	if code := status.Code(err); code != codes.NotFound {
		return nil, nil, errors.Join(conn.Close(),
			fmt.Errorf("stat of an unknown key: got %v (%v), want NotFound", code, err))
	}
	return proxy.NewSnapshotter(client, suiteName), conn.Close, nil
}

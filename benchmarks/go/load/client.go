package main

import (
	"context"
	"fmt"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/proxy"
	"github.com/containerd/containerd/v2/defaults"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

const (
	// pluginName is what containerd would put into each request: the plugin's name.
	pluginName = "bench"
	// unknownMethod is answered UNIMPLEMENTED by every server: the cost of a call
	// that does nothing.
	unknownMethod = "/containerd.services.snapshots.v1.Snapshots/Nothing"
	// updatedLabel is the label that update sets.
	updatedLabel = "bench.updated"
)

// client makes calls through containerd's proxy snapshotter, as containerd does.
type client struct {
	conn        *grpc.ClientConn
	snapshotter snapshots.Snapshotter
}

// action is one call with its arguments made ready.
type action func(context.Context) (any, error)

// dial connects as containerd connects to a proxy plugin, but for its tracing.
func dial(socket string) (*grpc.ClientConn, error) {
	return grpc.NewClient("unix://"+socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(defaults.DefaultMaxRecvMsgSize),
			grpc.MaxCallSendMsgSize(defaults.DefaultMaxSendMsgSize)))
}

func newClient(conn *grpc.ClientConn) *client {
	return &client{
		conn:        conn,
		snapshotter: proxy.NewSnapshotter(snapshotsapi.NewSnapshotsClient(conn), pluginName),
	}
}

// prepared returns what is to be timed.
func (c *client) prepared(call call) (action, error) {
	if act := c.reading(call); act != nil {
		return act, nil
	}
	if act := c.changing(call); act != nil {
		return act, nil
	}
	return nil, fmt.Errorf("there is no operation %q", call.Op)
}

// reading returns a call that changes nothing; nil if this one is none.
func (c *client) reading(call call) action {
	switch call.Op {
	case "noop":
		return c.nothing
	case "stat":
		return func(ctx context.Context) (any, error) {
			return shown(c.snapshotter.Stat(ctx, call.Key))
		}
	case "mounts":
		return func(ctx context.Context) (any, error) {
			return listed(c.snapshotter.Mounts(ctx, call.Key))
		}
	case "usage":
		return func(ctx context.Context) (any, error) { return c.snapshotter.Usage(ctx, call.Key) }
	case "list":
		return func(ctx context.Context) (any, error) { return c.list(ctx, call.Key) }
	}
	return nil
}

// changing returns a call that changes the store; nil if this one is none.
func (c *client) changing(call call) action {
	var options []snapshots.Opt
	if len(call.Labels) > 0 {
		options = append(options, snapshots.WithLabels(call.Labels))
	}
	switch call.Op {
	case "prepare":
		return func(ctx context.Context) (any, error) {
			return listed(c.snapshotter.Prepare(ctx, call.Key, call.Other, options...))
		}
	case "view":
		return func(ctx context.Context) (any, error) {
			return listed(c.snapshotter.View(ctx, call.Key, call.Other, options...))
		}
	case "commit":
		return func(ctx context.Context) (any, error) {
			return nil, c.snapshotter.Commit(ctx, call.Other, call.Key, options...)
		}
	case "update":
		info := snapshots.Info{Name: call.Key, Labels: map[string]string{updatedLabel: call.Other}}
		return func(ctx context.Context) (any, error) {
			return shown(c.snapshotter.Update(ctx, info, "labels."+updatedLabel))
		}
	case "remove":
		return func(ctx context.Context) (any, error) { return nil, c.snapshotter.Remove(ctx, call.Key) }
	case "cleanup":
		return func(ctx context.Context) (any, error) {
			return nil, c.snapshotter.(snapshots.Cleaner).Cleanup(ctx)
		}
	}
	return nil
}

// nothing calls a method that no server has.
func (c *client) nothing(ctx context.Context) (any, error) {
	err := c.conn.Invoke(ctx, unknownMethod, &emptypb.Empty{}, &emptypb.Empty{})
	if status.Code(err) != codes.Unimplemented {
		return nil, fmt.Errorf("an unknown method was answered with %w", err)
	}
	return nil, nil
}

// list returns the names of what matches a filter, all if it is empty.
func (c *client) list(ctx context.Context, filter string) (any, error) {
	names := []string{}
	var filters []string
	if filter != "" {
		filters = append(filters, filter)
	}
	err := c.snapshotter.Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		names = append(names, info.Name)
		return nil
	}, filters...)
	return names, err
}

// shownInfo is what of a snapshot's record the runner looks at.
type shownInfo struct {
	Name   string            `json:"name"`
	Parent string            `json:"parent"`
	Kind   string            `json:"kind"`
	Labels map[string]string `json:"labels"`
}

func shown(info snapshots.Info, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return shownInfo{info.Name, info.Parent, info.Kind.String(), info.Labels}, nil
}

// shownMount is one mount(2) call, written down.
type shownMount struct {
	Type    string   `json:"type"`
	Source  string   `json:"source"`
	Options []string `json:"options"`
}

func listed(mounts []mount.Mount, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	list := make([]shownMount, 0, len(mounts))
	for _, mount := range mounts {
		list = append(list, shownMount{mount.Type, mount.Source, mount.Options})
	}
	return list, nil
}

// Command load makes containerd's calls on a snapshotter's socket and times each.
//
//	load SOCKET
//
// It is driven over a pipe. Each line of standard input is one batch, a JSON object;
// for each, one line of JSON with the time of every call goes to standard output. It
// ends with its standard input.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: load SOCKET")
		os.Exit(2)
	}
	if err := serve(os.Args[1], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// serve answers batches until the input ends.
func serve(socket string, input io.Reader, output io.Writer) error {
	conn, err := dial(socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	client := newClient(conn)
	// A collection of this program's garbage within a batch would look like a slow
	// server: there is one before each batch, and none within.
	debug.SetGCPercent(-1)
	lines := bufio.NewReader(input)
	answers := json.NewEncoder(output)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var batch batch
		if err := json.Unmarshal(line, &batch); err != nil {
			return fmt.Errorf("a batch cannot be read: %w", err)
		}
		runtime.GC()
		if err := answers.Encode(client.run(context.Background(), batch)); err != nil {
			return err
		}
	}
}

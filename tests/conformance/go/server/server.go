// Package server runs one snapfs server for a test and takes it down again.
//
// It uses nothing beyond the standard library, and nothing newer than Go 1.19, so
// that the suites of every containerd generation can share it.
package server

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	// readyTimeout bounds the wait for a server that neither listens nor exits.
	readyTimeout = 2 * time.Minute
	// stopTimeout bounds the wait for a server that ignores SIGTERM.
	stopTimeout = time.Minute
	// pollInterval is the time between two attempts to connect.
	pollInterval = 10 * time.Millisecond
	// maxSocketPath is sizeof(sun_path) without the final NUL, unix(7).
	maxSocketPath = 107
	// logTail is how much of a server's output an error message quotes.
	logTail = 8192
)

// Server is one running process: COMMAND --root ROOT --driver DRIVER serve --address SOCKET.
type Server struct {
	// Socket is the path that the server listens on.
	Socket string

	command []string
	store   string
	logPath string
	process *os.Process
	exited  chan struct{} // closed once waitErr is set
	waitErr error
}

// Command returns the words of $SNAPFS_COMMAND; without it, just "snapfs".
func Command() []string {
	words := strings.Fields(os.Getenv("SNAPFS_COMMAND"))
	if len(words) == 0 {
		return []string{"snapfs"}
	}
	return words
}

// Driver returns $SNAPFS_DRIVER; without it, "kernel".
func Driver() string {
	if driver := os.Getenv("SNAPFS_DRIVER"); driver != "" {
		return driver
	}
	return "kernel"
}

// Start starts a server whose store and socket lie in dir; it returns once
// somebody accepts connections on the socket.
func Start(dir string) (*Server, error) {
	s := &Server{
		Socket:  filepath.Join(dir, "s.sock"),
		command: Command(),
		store:   filepath.Join(dir, "store"),
		logPath: filepath.Join(dir, "server.log"),
		exited:  make(chan struct{}),
	}
	if len(s.Socket) > maxSocketPath {
		return nil, fmt.Errorf("socket path %s is too long; set a shorter TMPDIR", s.Socket)
	}
	if err := s.spawn(); err != nil {
		return nil, err
	}
	if err := s.waitUntilListening(); err != nil {
		_ = s.process.Kill() // the first error is the one to report
		<-s.exited
		return nil, s.explain(err)
	}
	return s, nil
}

// spawn starts the process on a thread of its own: the kernel sends the signal
// of PR_SET_PDEATHSIG when the *thread* that started the child ends, prctl(2).
func (s *Server) spawn() error {
	args := append(append([]string{}, s.command[1:]...),
		"--root", s.store, "--driver", Driver(), "serve", "--address", s.Socket)
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		log, err := os.Create(s.logPath)
		if err != nil {
			started <- err
			return
		}
		defer log.Close()
		cmd := exec.Command(s.command[0], args...)
		cmd.Stdout, cmd.Stderr = log, log
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		s.process = cmd.Process
		started <- nil
		s.waitErr = cmd.Wait()
		close(s.exited)
	}()
	return <-started
}

func (s *Server) waitUntilListening() error {
	for deadline := time.Now().Add(readyTimeout); time.Now().Before(deadline); {
		conn, err := net.Dial("unix", s.Socket)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-s.exited:
			return fmt.Errorf("the server ended before it listened: %v", s.waitErr)
		case <-time.After(pollInterval):
		}
	}
	return fmt.Errorf("the server did not listen on %s within %s", s.Socket, readyTimeout)
}

// Stop ends the server with SIGTERM and lets it check its store. It fails unless
// both exit with status 0, and if a mount is left below dir.
func (s *Server) Stop(dir string) error {
	if err := s.terminate(); err != nil {
		return s.explain(err)
	}
	args := append(append([]string{}, s.command[1:]...), "--root", s.store, "check")
	if output, err := exec.Command(s.command[0], args...).CombinedOutput(); err != nil {
		return s.explain(fmt.Errorf("check of the store: %w\n%s", err, output))
	}
	return DetachMounts(dir)
}

func (s *Server) terminate() error {
	if err := s.process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-s.exited:
	case <-time.After(stopTimeout):
		_ = s.process.Kill() // reported as an error below
		<-s.exited
		return fmt.Errorf("the server ignored SIGTERM for %s", stopTimeout)
	}
	if s.waitErr != nil {
		return fmt.Errorf("the server did not end cleanly: %w", s.waitErr)
	}
	return nil
}

// explain adds the end of the server's output to err.
func (s *Server) explain(err error) error {
	log, readErr := os.ReadFile(s.logPath)
	if readErr != nil {
		return fmt.Errorf("%w (no output: %v)", err, readErr)
	}
	if len(log) > logTail {
		log = log[len(log)-logTail:]
	}
	return fmt.Errorf("%w\n--- output of the server ---\n%s", err, bytes.TrimSpace(log))
}

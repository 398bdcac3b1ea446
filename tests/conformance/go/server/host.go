package server

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// overlayMagic is OVERLAYFS_SUPER_MAGIC, include/uapi/linux/magic.h.
const overlayMagic = 0x794c7630

// mountPointField is the index of the mount point in /proc/self/mountinfo, proc(5).
const mountPointField = 4

// CheckHost says why the suite cannot run here, or nil.
func CheckHost() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("the suite mounts file systems: it needs root")
	}
	var stat syscall.Statfs_t
	if err := syscall.Statfs(os.TempDir(), &stat); err != nil {
		return fmt.Errorf("statfs of %s: %w", os.TempDir(), err)
	}
	if int64(stat.Type) == overlayMagic {
		return fmt.Errorf("%s is on overlayfs, which takes no upperdir: set TMPDIR", os.TempDir())
	}
	return nil
}

// DetachMounts unmounts whatever is mounted below dir, and names it in an error.
func DetachMounts(dir string) error {
	left, err := mountsBelow(dir)
	if err != nil {
		return err
	}
	for i := len(left) - 1; i >= 0; i-- { // the newest first: it may hide others
		if err := syscall.Unmount(left[i], syscall.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s: %w", left[i], err)
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("mounts were left: %s", strings.Join(left, ", "))
	}
	return nil
}

func mountsBelow(dir string) ([]string, error) {
	resolved, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var found []string
	for _, line := range strings.Split(strings.TrimSpace(string(table)), "\n") {
		fields := strings.Fields(line)
		if len(fields) <= mountPointField {
			return nil, fmt.Errorf("cannot read the mount table: %q", line)
		}
		path := unescape(fields[mountPointField])
		if strings.HasPrefix(path, resolved+"/") {
			found = append(found, path)
		}
	}
	return found, nil
}

// unescape undoes the octal escapes of space, tab, newline and backslash, proc(5).
func unescape(field string) string {
	var text strings.Builder
	for i := 0; i < len(field); i++ {
		if field[i] == '\\' && i+3 < len(field) {
			if code, err := strconv.ParseUint(field[i+1:i+4], 8, 8); err == nil {
				text.WriteByte(byte(code))
				i += 3
				continue
			}
		}
		text.WriteByte(field[i])
	}
	return text.String()
}

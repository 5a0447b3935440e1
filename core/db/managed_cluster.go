//go:build unix

package db

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// initialise makes the cluster if there is none. It is made aside and renamed, so that a half-made one never counts.
func (m *Managed) initialise(ctx context.Context) error {
	if clusterVersion(m.cluster) != "" {
		return nil
	}
	if entries, err := os.ReadDir(m.cluster); err == nil && len(entries) > 0 {
		return fmt.Errorf("%s is not empty and holds no PostgreSQL cluster", m.cluster)
	}
	aside := m.cluster + ".new"
	if err := os.RemoveAll(aside); err != nil {
		return fmt.Errorf("make cluster: %w", err)
	}
	if err := os.Mkdir(aside, 0o700); err != nil {
		return fmt.Errorf("make cluster: %w", err)
	}
	if err := m.account.own(aside); err != nil {
		return fmt.Errorf("make cluster: %w", err)
	}
	ctype := "C.UTF-8"
	if runtime.GOOS == "darwin" {
		ctype = "UTF-8"
	}
	args := []string{"-D", aside, "-U", managedUser, "-E", "UTF8", "--locale=C", "--lc-ctype=" + ctype,
		"--auth-local=trust", "--auth-host=reject"} // the socket's directory is closed to others
	if m.opts.Volatile {
		args = append(args, "--no-sync")
	}
	cmd := exec.CommandContext(ctx, filepath.Join(m.bin, "initdb"), args...)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = aside, initEnv(), m.account.attributes(false)
	m.log.Info("making the PostgreSQL cluster", "dir", m.cluster, "programs", m.bin)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make cluster: initdb: %w\n%s", err, bytes.TrimSpace(out[max(0, len(out)-2000):]))
	}
	_ = os.Remove(m.cluster) // an empty directory
	if err := os.Rename(aside, m.cluster); err != nil {
		return fmt.Errorf("make cluster: %w", err)
	}
	return nil
}

// initEnv lets initdb see its locale options: LC_ALL would win over them.
func initEnv() []string { return []string{"PATH=/usr/bin:/bin", "TZ=UTC"} }

// clusterVersion is the major version of the cluster ("15"), empty when there is none.
func clusterVersion(cluster string) string {
	text, err := os.ReadFile(filepath.Join(cluster, "PG_VERSION"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// maxSocket is the longest path of a Unix socket: 107 bytes on Linux, 103 on the BSDs and macOS.
const maxSocket = 103

// socketDir makes the directory for the socket, closed to all but the account: inside the data directory, or under
// the temporary one when the path would become too long. That one's name follows from the data directory, so that no
// more than one is ever left behind.
func socketDir(dir string, a account) (string, error) {
	name := "/.s.PGSQL." + managedPort
	sum := sha256.Sum256([]byte(dir))
	short := "countersign-" + hex.EncodeToString(sum[:6])
	for _, path := range []string{filepath.Join(dir, "run"), filepath.Join(os.TempDir(), short), filepath.Join("/tmp", short)} {
		if len(path)+len(name) > maxSocket {
			continue
		}
		if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("make socket directory: %w", err)
		}
		// In a directory that others may write to it could be theirs, or a link.
		info, err := os.Lstat(path)
		if err != nil {
			return "", fmt.Errorf("make socket directory: %w", err)
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !info.IsDir() || !ok || int(st.Uid) != os.Geteuid() && int(st.Uid) != a.uid {
			return "", fmt.Errorf("make socket directory: %s belongs to another user", path)
		}
		if err := os.Chmod(path, 0o700); err != nil {
			return "", fmt.Errorf("make socket directory: %w", err)
		}
		if err := a.own(path); err != nil {
			return "", fmt.Errorf("make socket directory: %w", err)
		}
		return path, nil
	}
	return "", fmt.Errorf("make socket directory: %s and %s are both too long for a Unix socket (%d bytes)", dir, os.TempDir(), maxSocket)
}

// clearCluster gets the cluster ready for a server of ours: one that is left from a killed process is stopped, a pid
// file that nobody stands behind is removed. The caller holds the directory's lock, so nobody else's server can be meant.
func clearCluster(ctx context.Context, cluster string, log *slog.Logger) error {
	pidFile := filepath.Join(cluster, "postmaster.pid")
	postmaster, ok := readPID(pidFile)
	if !ok {
		return nil
	}
	for began := time.Now(); ; {
		left := occupants(cluster, postmaster)
		if len(left) == 0 {
			if err := os.Remove(pidFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("remove stale pid file: %w", err)
			}
			return nil
		}
		signal := syscall.SIGINT
		if time.Since(began) > 15*time.Second || left[0] != postmaster { // too slow, or back ends without their postmaster
			signal = syscall.SIGQUIT
		}
		log.Warn("stopping the PostgreSQL that an earlier process left behind", "pid", left[0], "signal", signal.String())
		if left[0] == postmaster {
			left = left[:1] // the postmaster stops its own
		}
		for _, pid := range left {
			_ = syscall.Kill(pid, signal)
		}
		if err := gone(ctx, cluster, postmaster, 5*time.Second); err != nil {
			return fmt.Errorf("stop the PostgreSQL left behind (process %d): %w", left[0], err)
		}
	}
}

// gone waits until nobody is in the cluster, at most for so long. Only the context's end is an error.
func gone(ctx context.Context, cluster string, postmaster int, wait time.Duration) error {
	for deadline := time.Now().Add(wait); time.Now().Before(deadline); {
		if len(occupants(cluster, postmaster)) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

// readPID reads the first line of a postmaster.pid.
func readPID(path string) (int, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, _ := strconv.Atoi(strings.TrimSpace(line)) // an empty file was left by a crash: nobody, and to be removed
	return pid, true
}

// occupants are the PostgreSQL processes of the cluster, the postmaster first if it lives. They are known by their working
// directory, which PostgreSQL sets to the cluster: the number in the pid file may be another process's by now.
func occupants(cluster string, postmaster int) []int {
	entries, err := os.ReadDir("/proc")
	if _, e := os.Readlink("/proc/self/cwd"); err != nil || e != nil {
		return occupantByCommand(cluster, postmaster)
	}
	var out []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		cwd, err := os.Readlink(filepath.Join("/proc", e.Name(), "cwd"))
		if err != nil || cwd != cluster {
			continue
		}
		comm, err := os.ReadFile(filepath.Join("/proc", e.Name(), "comm"))
		if err != nil || !strings.HasPrefix(string(comm), "postgres") {
			continue
		}
		if pid == postmaster {
			out = append([]int{pid}, out...)
		} else {
			out = append(out, pid)
		}
	}
	return out
}

// occupantByCommand is for systems without /proc: it knows the postmaster by its command line.
func occupantByCommand(cluster string, postmaster int) []int {
	if postmaster <= 1 {
		return nil
	}
	out, err := exec.Command("ps", "-o", "command=", "-p", strconv.Itoa(postmaster)).Output()
	if err != nil || !strings.Contains(string(out), "postgres") || !strings.Contains(string(out), cluster) {
		return nil
	}
	return []int{postmaster}
}

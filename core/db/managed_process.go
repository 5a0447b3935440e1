//go:build unix

package db

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a running server.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
	err    error // why it ended; read after exited
}

// launch starts cmd on an OS thread of its own, which lives as long as the process: the death signal of attributes is
// sent when the starting thread ends, not when the program does.
func launch(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, exited: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		if p.err == nil {
			p.err = errors.New("exit status 0")
		}
		close(p.exited)
	}()
	return p, <-started
}

// stop ends the server: fast shutdown, after 30 s or a hurry immediate shutdown, after 10 s more by force.
func (p *process) stop(hurry <-chan struct{}) {
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGINT, 30 * time.Second}, {syscall.SIGQUIT, 10 * time.Second}} {
		_ = p.cmd.Process.Signal(step.signal)
		select {
		case <-p.exited:
			return
		case <-hurry:
		case <-time.After(step.wait):
		}
	}
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// account is the Unix user that the server runs as; the zero value is our own.
type account struct {
	name     string
	uid, gid int
	switched bool // we are root and the server must not be
}

// clusterAccount is the cluster's owner when we are root, at first postgres or nobody; PostgreSQL refuses to run as root.
func clusterAccount(cluster string) (account, error) {
	if os.Geteuid() != 0 {
		return account{uid: os.Geteuid(), gid: os.Getegid()}, nil
	}
	if info, err := os.Stat(cluster); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 {
			return account{name: "#" + strconv.Itoa(int(st.Uid)), uid: int(st.Uid), gid: int(st.Gid), switched: true}, nil
		}
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err1 == nil && err2 == nil && uid != 0 {
			return account{name: name, uid: uid, gid: gid, switched: true}, nil
		}
	}
	return account{}, errors.New("PostgreSQL does not run as root, and this system has neither a user postgres nor nobody: run as another user")
}

// attributes of a process of the account. A server gets a process group of its own, so that Ctrl-C in the terminal
// reaches us alone, and a signal when we die, where the system can do that.
func (a account) attributes(server bool) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: server}
	if server {
		setDeathSignal(attr)
	}
	if a.switched {
		attr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
	return attr
}

// own gives a file to the account.
func (a account) own(path string) error {
	if !a.switched {
		return nil
	}
	return os.Lchown(path, a.uid, a.gid)
}

// canReach checks that the account may enter dir and all above it.
func (a account) canReach(dir string) error {
	if !a.switched {
		return nil
	}
	for d := dir; ; d = filepath.Dir(d) {
		info, err := os.Stat(d)
		if err != nil {
			return fmt.Errorf("data directory: %w", err)
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		bit := os.FileMode(0o001)
		switch {
		case ok && int(st.Uid) == a.uid:
			bit = 0o100
		case ok && int(st.Gid) == a.gid:
			bit = 0o010
		}
		if info.Mode().Perm()&bit == 0 {
			return fmt.Errorf("PostgreSQL does not run as root but as %s, who may not enter %s: choose a data directory elsewhere, for example /var/lib/countersign", a.name, d)
		}
		if d == filepath.Dir(d) {
			return nil
		}
	}
}

// programEnv is all that the programs see of our environment: nothing.
func programEnv() []string {
	return []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
}

const maxLog = 10 << 20 // bytes of postgres.log before it is put aside at a start

// openLog opens the log for appending and tells where it ends now.
func openLog(path string) (*os.File, int64, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > maxLog {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, 0, fmt.Errorf("put aside PostgreSQL's log: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, 0, fmt.Errorf("open PostgreSQL's log: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, fmt.Errorf("open PostgreSQL's log: %w", err)
	}
	return f, info.Size(), nil
}

// logSince is what was logged since offset from, its last 2000 bytes.
func logSince(path string, from int64) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil {
		from = max(from, info.Size()-2000)
	}
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return ""
	}
	text, _ := io.ReadAll(io.LimitReader(f, 2000))
	return strings.TrimSpace(string(text))
}

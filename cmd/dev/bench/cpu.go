package bench

import (
	"os"
	"path/filepath"
	"runtime/metrics"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// usage is processor time.
type usage struct{ self, postgres time.Duration }

// CPU is processor time per unit, in microseconds. Self is this process: the server and the client, or the raw side's pgx.
type CPU struct {
	Self     float64 `json:"self"`
	Postgres float64 `json:"postgres"`
}

func (u usage) plus(o usage) usage  { return usage{u.self + o.self, u.postgres + o.postgres} }
func (u usage) minus(o usage) usage { return usage{u.self - o.self, u.postgres - o.postgres} }

func (u usage) per(n int) CPU {
	return CPU{float64(u.self.Microseconds()) / float64(n), float64(u.postgres.Microseconds()) / float64(n)}
}

// usage reads what this process and the PostgreSQL have used so far.
func (w *world) usage() usage {
	var own syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &own)
	return usage{
		self:     time.Duration(own.Utime.Nano() + own.Stime.Nano()),
		postgres: familyTime(w.postmaster()),
	}
}

// familyTime is the processor time of a process and its children, 0 where there is no /proc.
func familyTime(parent int) time.Duration {
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux
	entries, _ := os.ReadDir("/proc")
	var ticks int64
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		f := stat(pid)
		if len(f) < 15 || pid != parent && f[1] != strconv.Itoa(parent) {
			continue
		}
		for i, field := range f[11:15] { // utime, stime, and those of children that have ended
			if i < 2 || pid == parent {
				n, _ := strconv.ParseInt(field, 10, 64)
				ticks += n
			}
		}
	}
	return time.Duration(ticks) * tick
}

// stat are the fields of /proc/<pid>/stat from the state on.
func stat(pid int) []string {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return nil
	}
	return strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
}

// allocated tells how many objects and bytes this process has allocated.
func allocated() (objects, bytes uint64) {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}, {Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64(), s[1].Value.Uint64()
}

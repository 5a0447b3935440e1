package bench

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// Disk is how long the disk takes to make something durable, in milliseconds.
type Disk struct {
	SyncP50   float64 `json:"fdatasync_p50_ms"` // 8 KiB rewritten in place
	SyncP99   float64 `json:"fdatasync_p99_ms"`
	CommitP50 float64 `json:"commit_p50_ms"` // of one row by one connection
	CommitP99 float64 `json:"commit_p99_ms"`
}

const diskTries = 300

// disk measures both ways, beside the server's own files.
func (w *world) disk(ctx context.Context) (Disk, error) {
	f, err := os.Create(filepath.Join(w.dir, "sync"))
	if err != nil {
		return Disk{}, err
	}
	defer func() { _ = f.Close() }()
	block := make([]byte, 8<<10)
	syncs, err := timed(func() error {
		if _, err := f.WriteAt(block, 0); err != nil {
			return err
		}
		return syscall.Fdatasync(int(f.Fd()))
	})
	if err != nil {
		return Disk{}, err
	}
	if _, err := w.admin.Exec(ctx, `CREATE TABLE IF NOT EXISTS bench_commits (at timestamptz)`); err != nil {
		return Disk{}, err
	}
	commits, err := timed(func() error {
		_, err := w.admin.Exec(ctx, `INSERT INTO bench_commits VALUES (now())`)
		return err
	})
	return Disk{
		SyncP50: milliseconds(quantile(syncs, .5)), SyncP99: milliseconds(quantile(syncs, .99)),
		CommitP50: milliseconds(quantile(commits, .5)), CommitP99: milliseconds(quantile(commits, .99)),
	}, err
}

// timed does it often and gives the times, sorted.
func timed(do func() error) ([]time.Duration, error) {
	out := make([]time.Duration, 0, diskTries)
	for range diskTries {
		began := time.Now()
		if err := do(); err != nil {
			return nil, err
		}
		out = append(out, time.Since(began))
	}
	slices.Sort(out)
	return out, nil
}

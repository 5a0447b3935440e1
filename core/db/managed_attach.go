//go:build unix

package db

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// RunningURL is for Open, to reach the managed PostgreSQL that another process runs on the data directory: for commands
// that work beside a server. Only the account of that process, and root, can. It fails when none runs there.
func RunningURL(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("data directory: %w", err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "postgres", "postmaster.pid"))
	if err != nil {
		return "", fmt.Errorf("find the managed PostgreSQL: %w", err)
	}
	// PostgreSQL writes its process, directory, start, port and the directory of its socket, a line each.
	lines := strings.Split(string(text), "\n")
	if len(lines) < 5 || lines[4] == "" {
		return "", fmt.Errorf("find the managed PostgreSQL: it is not ready in %s", dir)
	}
	return managedURL(lines[4]), nil
}

func managedURL(socket string) string {
	q := url.Values{"host": {socket}, "port": {managedPort}}
	return "postgres://" + managedUser + "@/" + managedDatabase + "?" + q.Encode()
}

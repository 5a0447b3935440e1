//go:build unix

package db

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// minMajor is the oldest PostgreSQL that a new cluster is made with.
const minMajor = 14

// programPlaces are where packages put PostgreSQL's programs, beside the PATH.
var programPlaces = []string{
	"/usr/lib/postgresql/*/bin",                          // Debian, Ubuntu
	"/usr/pgsql-*/bin",                                   // packages of postgresql.org for Red Hat
	"/usr/libexec/postgresql*",                           // Alpine
	"/opt/homebrew/opt/postgresql@*/bin",                 // Homebrew
	"/usr/local/opt/postgresql@*/bin",                    // Homebrew on Intel
	"/Applications/Postgres.app/Contents/Versions/*/bin", // Postgres.app
	"/usr/local/pgsql/bin",                               // from source
}

// findPrograms finds the directory that holds initdb and postgres of a fitting version: given by the options, on the
// PATH, in the usual places newest first, fetched before; else it fetches them.
func (m *Managed) findPrograms(ctx context.Context) (string, error) {
	want := clusterVersion(m.cluster)
	var found []string
	for _, dir := range m.programDirs() {
		major := programVersion(ctx, dir)
		if major == 0 {
			continue
		}
		if want == strconv.Itoa(major) || want == "" && major >= minMajor {
			return dir, nil
		}
		found = append(found, fmt.Sprintf("%d (%s)", major, dir))
	}
	if m.opts.Bin != "" {
		return "", fmt.Errorf("no fitting PostgreSQL in %s%s", m.opts.Bin, wanted(want, found))
	}
	version := m.opts.FetchVersion
	if version == "" {
		version = DefaultFetchVersion
	}
	if major, _, _ := strings.Cut(version, "."); want != "" && want != major {
		return "", fmt.Errorf("no fitting PostgreSQL on this system%s: install that version, or bring the data to a newer one with pg_upgrade", wanted(want, found))
	}
	dir, err := m.fetch(ctx, version)
	if err != nil {
		return "", fmt.Errorf("no fitting PostgreSQL on this system%s, and fetching one did not work (%w): install it with: %s",
			wanted(want, found), err, installCommand())
	}
	return dir, nil
}

func wanted(want string, found []string) string {
	var b strings.Builder
	if want != "" {
		b.WriteString("; the data was made by version " + want)
	}
	if len(found) > 0 {
		b.WriteString("; found: " + strings.Join(found, ", "))
	}
	return b.String()
}

// programDirs are the directories to look into, best first.
func (m *Managed) programDirs() []string {
	if m.opts.Bin != "" {
		return []string{m.opts.Bin}
	}
	var dirs []string
	places := m.opts.places
	if places == nil {
		places = programPlaces
		if path, err := exec.LookPath("postgres"); err == nil {
			if path, err = filepath.EvalSymlinks(path); err == nil {
				dirs = append(dirs, filepath.Dir(path))
			}
		}
	}
	for _, pattern := range append(slices.Clone(places), filepath.Join(m.opts.Dir, "bin", "postgres-*", "bin")) {
		matches, _ := filepath.Glob(pattern) // only a malformed pattern fails
		slices.SortFunc(matches, func(a, b string) int { return pathNumber(b) - pathNumber(a) })
		dirs = append(dirs, matches...)
	}
	return dirs
}

var digits = regexp.MustCompile(`\d+`)

// pathNumber is the first number in a path's last two parts: the version in /usr/lib/postgresql/15/bin.
func pathNumber(path string) int {
	tail := filepath.Join(filepath.Base(filepath.Dir(path)), filepath.Base(path))
	n, _ := strconv.Atoi(digits.FindString(tail))
	return n
}

var versionText = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// programVersion is the major version of the programs in dir; 0 when they are not both there or do not run.
func programVersion(ctx context.Context, dir string) int {
	if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
		return 0
	}
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version")
	cmd.Env = programEnv()
	out, err := cmd.Output()
	if err != nil {
		return 0
	}
	match := versionText.FindSubmatch(out)
	if match == nil {
		return 0
	}
	major, _ := strconv.Atoi(string(match[1]))
	return major
}

// installCommand is the command that installs PostgreSQL here.
func installCommand() string {
	sudo := "sudo "
	if os.Geteuid() == 0 {
		sudo = ""
	}
	for _, c := range []struct{ tool, command string }{
		{"apt-get", sudo + "apt-get install -y postgresql"},
		{"dnf", sudo + "dnf install -y postgresql-server"},
		{"apk", sudo + "apk add postgresql"},
		{"pacman", sudo + "pacman -S --noconfirm postgresql"},
		{"zypper", sudo + "zypper install -y postgresql-server"},
		{"brew", "brew install postgresql@16"},
	} {
		if _, err := exec.LookPath(c.tool); err == nil {
			return c.command
		}
	}
	return "your system's package manager (package postgresql)"
}

var errFetchOff = errors.New("fetching is turned off")

//go:build unix

package db

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// repository is a Maven repository that has one artifact; changes are made before it serves.
type repository struct {
	jar, sum []byte
	silent   bool // takes requests and never answers
	asked    []string
}

func (r *repository) serve(t *testing.T) string {
	t.Helper()
	stop := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if r.silent {
			select {
			case <-q.Context().Done():
			case <-stop:
			}
			return
		}
		r.asked = append(r.asked, q.URL.Path)
		switch {
		case r.jar == nil:
			http.NotFound(w, q)
		case strings.HasSuffix(q.URL.Path, ".sha256"):
			w.Write(r.sum)
		default:
			w.Write(r.jar)
		}
	}))
	t.Cleanup(func() { close(stop); s.Close() })
	return s.URL
}

type entry struct {
	name, text, link string
}

// jar packs files as the real artifact is packed: a zip of a tar in xz.
func jar(t *testing.T, entries ...entry) *repository {
	t.Helper()
	var packed bytes.Buffer
	tw := tar.NewWriter(&packed)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: 0o755, Size: int64(len(e.text)), Typeflag: tar.TypeReg}
		if e.link != "" {
			h.Typeflag, h.Linkname = tar.TypeSymlink, e.link
		}
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write([]byte(e.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	xz := exec.Command("xz", "--compress", "--stdout")
	xz.Stdin = &packed
	txz, err := xz.Output()
	if err != nil {
		t.Skipf("needs the program xz: %v", err)
	}
	var out bytes.Buffer
	zw := zip.NewWriter(&out)
	w, err := zw.Create("postgres-test.txz")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(txz); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return &repository{jar: out.Bytes(), sum: fmt.Appendf(nil, "%x\n", sha256.Sum256(out.Bytes()))}
}

// realPrograms finds the installed PostgreSQL that a fetched one stands in for.
func realPrograms(t *testing.T) (bin string, major int) {
	t.Helper()
	bin, err := (&Managed{opts: ManagedOptions{FetchURL: "-"}}).findPrograms(testContext(t))
	if err != nil {
		t.Skip(err)
	}
	return bin, programVersion(testContext(t), bin)
}

func TestFetchAndRun(t *testing.T) {
	t.Parallel()
	real, major := realPrograms(t)
	script := func(name string) string { return "#!/bin/sh\nexec " + filepath.Join(real, name) + ` "$@"` + "\n" }
	r := jar(t, entry{name: "./bin/initdb", text: script("initdb")}, entry{name: "bin/postgres", text: script("postgres")},
		entry{name: "lib/libpq.so.5", text: "x"}, entry{name: "lib/libpq.so", link: "libpq.so.5"})
	dir, version := testDir(t), fmt.Sprintf("%d.4.0", major)
	o := ManagedOptions{Dir: dir, Volatile: true, places: []string{}, FetchURL: r.serve(t), FetchVersion: version}
	m := startManaged(t, o)
	query[int](t, openManaged(t, m), "SELECT 1")
	if m.Programs() != filepath.Join(m.opts.Dir, "bin", "postgres-"+version, "bin") {
		t.Errorf("programs in %s", m.Programs())
	}
	if len(r.asked) != 2 || !strings.HasPrefix(r.asked[1], "/io/zonky/test/postgres/embedded-postgres-binaries-") || !strings.HasSuffix(r.asked[1], "-"+version+".jar") {
		t.Errorf("asked for %v", r.asked)
	}
	if err := m.Stop(testContext(t)); err != nil {
		t.Fatal(err)
	}
	startManaged(t, o)
	if len(r.asked) != 2 {
		t.Errorf("fetched a second time: %v", r.asked)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "bin", "*")); len(left) != 1 {
		t.Errorf("left over: %v", left)
	}
}

func TestFetchFails(t *testing.T) {
	t.Parallel()
	damaged := jar(t, entry{name: "bin/postgres", text: "x"})
	damaged.jar = append(damaged.jar, 0)
	notRunning := jar(t, entry{name: "bin/postgres", text: "#!/bin/sh\nexit 1\n"}, entry{name: "bin/initdb", text: "x"})
	outside := jar(t, entry{name: "../escaped", text: "x"})
	through := jar(t, entry{name: "out", link: "/tmp"}, entry{name: "out/escaped", text: "x"})
	noZip := &repository{jar: []byte("x"), sum: fmt.Appendf(nil, "%x", sha256.Sum256([]byte("x")))}
	for name, c := range map[string]struct {
		repository *repository
		url        string
		want       string
	}{
		"404":                {repository: &repository{}, want: "404"},
		"refused":            {url: "http://127.0.0.1:1", want: "connection refused"},
		"never answers":      {repository: &repository{silent: true}, want: "deadline exceeded"},
		"damaged":            {repository: damaged, want: "SHA-256"},
		"no zip":             {repository: noZip, want: "zip"},
		"does not run":       {repository: notRunning, want: "do not run"},
		"leads out":          {repository: outside, want: "escapes"},
		"leads out by link":  {repository: through, want: "escapes"},
		"fetching is denied": {url: "-", want: "turned off"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.repository != nil {
				c.url = c.repository.serve(t)
			}
			dir := testDir(t)
			began := time.Now()
			_, err := StartManaged(testContext(t), ManagedOptions{Dir: dir, places: []string{}, FetchURL: c.url, FetchTimeout: 2 * time.Second})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q in it", err, c.want)
			}
			if !strings.Contains(err.Error(), "install it with: ") {
				t.Errorf("the error names no way out: %v", err)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("took %v", took)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "bin", "*")); len(left) != 0 {
				t.Errorf("left over: %v", left)
			}
			if _, err := os.Stat("/tmp/escaped"); err == nil {
				t.Error("a file was written outside")
			}
		})
	}
}

func TestPathNumber(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]int{"/usr/lib/postgresql/15/bin": 15, "/opt/homebrew/opt/postgresql@17/bin": 17, "/usr/libexec/postgresql16": 16, "/usr/local/pgsql/bin": 0} {
		if got := pathNumber(path); got != want {
			t.Errorf("pathNumber(%s) = %d, want %d", path, got, want)
		}
	}
}

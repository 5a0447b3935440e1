//go:build unix

package db

import (
	"archive/tar"
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// Where PostgreSQL's programs are fetched from: a Maven repository that holds the builds io.zonky.test.postgres.
const (
	DefaultFetchURL     = "https://repo1.maven.org/maven2"
	DefaultFetchVersion = "16.4.0"
)

const (
	maxArchive  = 256 << 20 // bytes of the fetched file; real ones have 10–60 MB
	maxUnpacked = 1 << 30
)

// fetch gets the programs, checks them against the repository's SHA-256 and unpacks them into bin/postgres-<version> of
// the data directory. The checksum comes from the same place as the archive: it finds a damaged file, HTTPS a forged one.
func (m *Managed) fetch(ctx context.Context, version string) (string, error) {
	base := m.opts.FetchURL
	switch base {
	case "-":
		return "", errFetchOff
	case "":
		base = DefaultFetchURL
	}
	timeout := m.opts.FetchTimeout
	if timeout == 0 {
		timeout = 3 * time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	artifact, err := artifactName()
	if err != nil {
		return "", err
	}
	url := fmt.Sprintf("%s/io/zonky/test/postgres/%s/%s/%s-%s.jar", strings.TrimSuffix(base, "/"), artifact, version, artifact, version)
	m.log.Info("fetching PostgreSQL", "url", url)
	bin := filepath.Join(m.opts.Dir, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", err
	}
	archive, err := os.CreateTemp(bin, "fetch-*.jar")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.Remove(archive.Name()) }()
	defer archive.Close()
	if err := m.download(ctx, url, archive); err != nil {
		return "", err
	}
	aside := filepath.Join(bin, "unpack")
	if err := os.RemoveAll(aside); err != nil {
		return "", err
	}
	if err := os.Mkdir(aside, 0o755); err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(aside) }()
	if err := unpack(ctx, archive, aside); err != nil {
		return "", fmt.Errorf("unpack %s: %w", url, err)
	}
	if programVersion(ctx, filepath.Join(aside, "bin")) == 0 {
		return "", fmt.Errorf("the programs of %s do not run on this system", url)
	}
	home := filepath.Join(bin, "postgres-"+version)
	if err := os.RemoveAll(home); err != nil {
		return "", err
	}
	if err := os.Rename(aside, home); err != nil {
		return "", err
	}
	return filepath.Join(home, "bin"), nil
}

func artifactName() (string, error) {
	arch, ok := map[string]string{"amd64": "amd64", "arm64": "arm64v8", "386": "i386", "arm": "arm32v7", "ppc64le": "ppc64le"}[runtime.GOARCH]
	if !ok || runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
		return "", fmt.Errorf("there is no build for %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	name := "embedded-postgres-binaries-" + runtime.GOOS + "-" + arch
	if _, err := os.Stat("/etc/alpine-release"); err == nil {
		name += "-alpine"
	}
	return name, nil
}

// download writes the file at url to f and checks it against the SHA-256 at url.sha256.
func (m *Managed) download(ctx context.Context, url string, f *os.File) error {
	var sum strings.Builder
	if err := m.get(ctx, url+".sha256", &sum, 1<<10); err != nil {
		return err
	}
	want, _, _ := strings.Cut(strings.TrimSpace(sum.String()), " ")
	hash := sha256.New()
	if err := m.get(ctx, url, io.MultiWriter(f, hash), maxArchive); err != nil {
		return err
	}
	if got := hex.EncodeToString(hash.Sum(nil)); !strings.EqualFold(got, want) {
		return fmt.Errorf("%s has the SHA-256 %s, not %.64q as its checksum file says", url, got, want)
	}
	return nil
}

func (m *Managed) get(ctx context.Context, url string, w io.Writer, limit int64) error {
	client := m.opts.HTTP
	if client == nil {
		client = &http.Client{}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, res.Status)
	}
	n, err := io.Copy(w, io.LimitReader(res.Body, limit+1))
	if err != nil {
		return fmt.Errorf("GET %s: %w", url, err)
	}
	if n > limit {
		return fmt.Errorf("GET %s: more than %d bytes", url, limit)
	}
	return nil
}

// unpack finds the one .txz in the archive and unpacks it into dir, with the system's xz: Go has no decoder of its own.
func unpack(ctx context.Context, archive *os.File, dir string) error {
	info, err := archive.Stat()
	if err != nil {
		return err
	}
	z, err := zip.NewReader(archive, info.Size())
	if err != nil {
		return err
	}
	for _, f := range z.File {
		if !strings.HasSuffix(f.Name, ".txz") {
			continue
		}
		packed, err := f.Open()
		if err != nil {
			return err
		}
		defer packed.Close()
		return unpackXZ(ctx, packed, dir)
	}
	return errors.New("it holds no .txz")
}

func unpackXZ(ctx context.Context, packed io.Reader, dir string) error {
	xz, err := exec.LookPath("xz")
	if err != nil {
		return unpackTar(ctx, packed, dir)
	}
	cmd := exec.CommandContext(ctx, xz, "--decompress", "--stdout")
	cmd.Stdin = packed
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := untar(tar.NewReader(io.LimitReader(out, maxUnpacked)), dir); err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return err
	}
	_, _ = io.Copy(io.Discard, out) // padding after the archive's end
	return cmd.Wait()
}

// unpackTar leaves all to the system's tar, which on macOS reads xz by itself.
func unpackTar(ctx context.Context, packed io.Reader, dir string) error {
	tar, err := exec.LookPath("tar")
	if err != nil {
		return errors.New("the program xz is needed and not here")
	}
	cmd := exec.CommandContext(ctx, tar, "-x", "-J", "-f", "-", "-C", dir)
	cmd.Stdin = packed
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("without the program xz, tar: %w: %.200s", err, out)
	}
	return nil
}

// untar writes the archive's files below dir. os.Root refuses to write outside it, through a link as well.
func untar(t *tar.Reader, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := path.Clean(h.Name)
		if name == "." {
			continue
		}
		if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return err
		}
		switch h.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(name, 0o755)
		case tar.TypeSymlink:
			err = root.Symlink(h.Linkname, name)
		case tar.TypeReg:
			err = untarFile(root, name, t, h.FileInfo().Mode())
		}
		if err != nil {
			return err
		}
	}
}

func untarFile(root *os.Root, name string, from io.Reader, mode os.FileMode) error {
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644|mode.Perm()&0o111)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, from); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

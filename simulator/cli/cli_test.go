package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"countersign/simulator/cli"
)

func run(t *testing.T, in string, args ...string) (code int, out, errs string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var o, e bytes.Buffer
	code = cli.Main(ctx, args, strings.NewReader(in), &o, &e)
	return code, o.String(), e.String()
}

func TestHelpAndWrongCalls(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{nil, 0, "The other side of a login"},
		{[]string{"--help"}, 0, "fcm"},
		{[]string{"run", "--help"}, 0, "Exit codes: 0 all well"},
		{[]string{"fcm", "--help"}, 0, "PUT /-/conditions"},
		{[]string{"phone", "--help"}, 0, "QR code"},
		{[]string{"version"}, 0, "simulator "},
		{[]string{"dance"}, 3, "dance"},
		{[]string{"run"}, 3, "scenario"},
		{[]string{"run", "nowhere.yaml"}, 3, "nowhere.yaml"},
		{[]string{"phone", "--answer", "maybe"}, 3, "--answer"},
		{[]string{"phone", "--push", "http://127.0.0.1:1", "--listen", "127.0.0.1:0"}, 4, "is `simulator fcm` running"},
	} {
		code, out, errs := run(t, "", c.args...)
		if code != c.code || !strings.Contains(out+errs, c.says) && !strings.Contains(strings.Join(strings.Fields(out+errs), " "), strings.Join(strings.Fields(c.says), " ")) {
			t.Errorf("%v: exit %d\n%s%s", c.args, code, out, errs)
		}
	}
}

// started runs a command that serves, and returns its URL when it has said it.
func started(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	done := make(chan int, 1)
	go func() {
		done <- cli.Main(ctx, args, strings.NewReader(""), io.Discard, w)
		_ = w.Close() // a pipe closes always
	}()
	t.Cleanup(func() {
		cancel()
		if code := <-done; code != 0 {
			t.Errorf("%v: exit %d after an interruption", args, code)
		}
	})
	lines := bufio.NewScanner(r)
	address := regexp.MustCompile(` on (https?://[^/\s]+)`)
	for lines.Scan() {
		if found := address.FindStringSubmatch(lines.Text()); found != nil {
			go func() { _, _ = io.Copy(io.Discard, r) }()
			return found[1]
		}
	}
	t.Fatalf("%v said no address", args)
	return ""
}

func TestFCMAndPhoneServe(t *testing.T) {
	t.Parallel()
	key := filepath.Join(t.TempDir(), "key.json")
	conditions := filepath.Join(t.TempDir(), "conditions.json")
	if err := os.WriteFile(conditions, []byte(`{"latency":"5ms","quota":{"messages":10,"per":"1m"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	double := started(t, "fcm", "--listen", "127.0.0.1:0", "--credentials", key, "--conditions", conditions)
	file, err := os.ReadFile(key)
	if err != nil || !strings.Contains(string(file), double+"/token") {
		t.Errorf("key file %s (%v)", file, err)
	}
	if stat, err := os.Stat(key); err != nil || stat.Mode().Perm() != 0o600 {
		t.Errorf("key file mode: %v %v", stat.Mode(), err)
	}
	phone := started(t, "phone", "--listen", "127.0.0.1:0", "--push", double, "--name", "Ada")
	res, err := http.Get(phone + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 200 {
		t.Errorf("the phone's page: %s", res.Status)
	}
}

package app_test

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/cmd/app"
	"countersign/core/config"
)

func TestLoadConfig(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key := strings.Repeat("s", 40)
	file := write("countersign.yml", "listen: 10.0.0.1:80\nmobile:\n  answer_window: 2m\ntrusted_proxies: [10.0.0.0/8]\n")
	keyFile := write("key", key+"\n")
	c, loaded, err := app.LoadConfig(file, []string{
		"COUNTERSIGN_LISTEN=10.0.0.2:80", "COUNTERSIGN_SECRET_KEY_FILE=" + keyFile, "COUNTERSIGN_PUSH_FCM_CREDENTIALS=" + `{"type":"service_account"}`,
		"COUNTERSIGN_DATABASE_URL=postgres://me:hush@db/x", "PATH=/bin", "AUTHENTIK_BOOTSTRAP_PASSWORD=x",
	}, config.Override{Path: "listen", Value: "10.0.0.3:80", Source: "--listen"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != "10.0.0.3:80" || c.Mobile.AnswerWindow != 2*time.Minute || c.SecretKey != key || c.HTTP.BodyLimit != 1<<20 ||
		len(c.TrustedProxies) != 1 || c.TrustedProxies[0].String() != "10.0.0.0/8" {
		t.Errorf("%+v", c)
	}
	var out bytes.Buffer
	if err := loaded.Print(&out); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{key, "hush", "service_account"} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("the printed settings show %q:\n%s", secret, &out)
		}
	}
	for _, want := range []string{"10.0.0.3:80", "--listen", file, "COUNTERSIGN_SECRET_KEY_FILE"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the printed settings lack %q:\n%s", want, &out)
		}
	}
}

func TestLoadConfigMistakes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, file string
		environ    []string
		want       []string
	}{
		{name: "unknown key of the file", file: "lissten: x\n", want: []string{"lissten", "listen"}},
		{name: "unknown key below", file: "mobile:\n  answer_windw: 1m\n", want: []string{"answer_windw", "answer_window"}},
		{name: "unknown variable", environ: []string{"COUNTERSIGN_LISTN=x"}, want: []string{"COUNTERSIGN_LISTN", "COUNTERSIGN_LISTEN"}},
		{name: "no YAML", file: "listen: [\n", want: []string{"yml"}},
		{name: "no duration", environ: []string{"COUNTERSIGN_MOBILE_ANSWER_WINDOW=soon"}, want: []string{"COUNTERSIGN_MOBILE_ANSWER_WINDOW"}},
		{name: "window too long", environ: []string{"COUNTERSIGN_MOBILE_ANSWER_WINDOW=11m"}, want: []string{"mobile.answer_window", "10m"}},
		{name: "window too short", environ: []string{"COUNTERSIGN_MOBILE_ANSWER_WINDOW=10ms"}, want: []string{"mobile.answer_window"}},
		{name: "short key", environ: []string{"COUNTERSIGN_SECRET_KEY=short"}, want: []string{"secret_key", "32"}},
		{name: "half of TLS", environ: []string{"COUNTERSIGN_TLS_KEY=/k.pem"}, want: []string{"tls"}},
		{name: "no network", environ: []string{"COUNTERSIGN_TRUSTED_PROXIES=everybody"}, want: []string{"COUNTERSIGN_TRUSTED_PROXIES"}},
		{name: "secret twice", environ: []string{"COUNTERSIGN_SECRET_KEY=" + strings.Repeat("s", 40), "COUNTERSIGN_SECRET_KEY_FILE=/nowhere"}, want: []string{"COUNTERSIGN_SECRET_KEY"}},
		{name: "secret file missing", environ: []string{"COUNTERSIGN_SECRET_KEY_FILE=/nowhere"}, want: []string{"/nowhere"}},
		{name: "mail without a sender", environ: []string{"COUNTERSIGN_MAIL_HOST=smtp.example.org"}, want: []string{"mail.from"}},
		{name: "mail password in the clear", want: []string{"mail.tls"}, environ: []string{"COUNTERSIGN_MAIL_HOST=smtp.example.org",
			"COUNTERSIGN_MAIL_FROM=a@example.org", "COUNTERSIGN_MAIL_TLS=none", "COUNTERSIGN_MAIL_USERNAME=u", "COUNTERSIGN_MAIL_PASSWORD=p"}},
		{name: "all at once", file: "lissten: x\n", environ: []string{"COUNTERSIGN_WORKR=1"}, want: []string{"lissten", "COUNTERSIGN_WORKR"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var path string
			if c.file != "" {
				path = filepath.Join(t.TempDir(), "settings.yml")
				if err := os.WriteFile(path, []byte(c.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, _, err := app.LoadConfig(path, c.environ)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error lacks %q: %v", want, err)
				}
			}
		})
	}
}

// TestReference: the printed reference is a file that loads and changes nothing, and explains every setting.
func TestReference(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	want := app.Defaults()
	if err := config.Reference(&out, &want, ""); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "reference.yml")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	c, _, err := app.LoadConfig(path, nil)
	if err != nil {
		t.Fatalf("the reference does not load: %v\n%s", err, &out)
	}
	if c.Listen != want.Listen || !reflect.DeepEqual(c.Mobile, want.Mobile) || c.HTTP != want.HTTP || c.Events != want.Events || c.Worker != want.Worker || !reflect.DeepEqual(c.Push, want.Push) || c.Mail != want.Mail {
		t.Errorf("the reference is not the defaults: %+v, want %+v", c, want)
	}
	if !slices.Contains(strings.Split(out.String(), "\n"), "listen: 127.0.0.1:9000") {
		t.Errorf("no plain listen in\n%s", &out)
	}
}

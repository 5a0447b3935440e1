package config_test

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"countersign/core/config"
)

type settings struct {
	Listen    string            `yaml:"listen" help:"Address to listen on."`
	SecretKey string            `yaml:"secret_key" secret:"true" help:"Key of all that is sealed."`
	Debug     bool              `yaml:"debug"`
	Level     slog.Level        `yaml:"level"`
	Limit     uint8             `yaml:"limit"`
	Offset    int               `yaml:"offset"`
	Ratio     float64           `yaml:"ratio"`
	Proxies   []netip.Prefix    `yaml:"proxies"`
	Names     []string          `yaml:"names" help:"Names,\nmany of them."`
	Keys      []string          `yaml:"keys" secret:"true"`
	Labels    map[string]string `yaml:"labels"`
	Database  struct {
		URL  string        `yaml:"url" secret:"url"`
		Wait time.Duration `yaml:"wait"`
		Pool struct {
			Size int `yaml:"size"`
		} `yaml:"pool" help:"Connections."`
	} `yaml:"database" help:"PostgreSQL."`
}

func defaults() *settings {
	s := &settings{Listen: "127.0.0.1:9000", Limit: 10, Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	s.Database.Wait = 90 * time.Second
	s.Database.Pool.Size = 8
	return s
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.yml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadInOrder(t *testing.T) {
	t.Parallel()
	s := defaults()
	yml := file(t, `
listen: 0.0.0.0:1   # a comment
level: WARN
limit: 20
names: [a, "b,c", 0123]
labels: {x: 1, y: "two words"}
database:
  wait: 7d
  pool:
    size: 16
`)
	l, err := config.Load(s, config.Options{
		File:      yml,
		Environ:   []string{"HOME=/", "COUNTERSIGN_LIMIT=30", "COUNTERSIGN_DATABASE_POOL_SIZE=32", "COUNTERSIGN_PROXIES=10.0.0.0/8, 192.0.2.0/24", "COUNTERSIGN_DEBUG=Yes", "COUNTERSIGN_RATIO=0.5", "COUNTERSIGN_TEST_DATABASE_URL=x"},
		Ignore:    []string{"COUNTERSIGN_TEST_*"},
		Overrides: []config.Override{{Path: "database.pool.size", Value: "64", Source: "--pool"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := defaults()
	want.Listen, want.Level, want.Limit, want.Debug, want.Ratio = "0.0.0.0:1", slog.LevelWarn, 30, true, 0.5
	want.Names = []string{"a", "b,c", "0123"}
	want.Labels = map[string]string{"x": "1", "y": "two words"}
	want.Proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.0/24")}
	want.Database.Wait, want.Database.Pool.Size = 7*24*time.Hour, 64
	if !reflect.DeepEqual(s, want) {
		t.Errorf("loaded %+v\nwant   %+v", s, want)
	}
	for path, source := range map[string]string{"secret_key": "default", "listen": yml + ":2", "limit": "COUNTERSIGN_LIMIT", "names": yml + ":5", "database.pool.size": "--pool", "nothing": ""} {
		if got := l.Source(path); got != source {
			t.Errorf("Source(%s) = %q, want %q", path, got, source)
		}
	}
}

func TestSecretFiles(t *testing.T) {
	t.Parallel()
	path := file(t, "  hush hush \n")
	for name, o := range map[string]config.Options{
		"environment": {Environ: []string{"COUNTERSIGN_SECRET_KEY_FILE=" + path}},
		"yaml":        {File: file(t, "secret_key_file: "+path)},
		"environment over yaml": {File: file(t, "secret_key: other"),
			Environ: []string{"COUNTERSIGN_SECRET_KEY_FILE=" + path}},
	} {
		s := defaults()
		l, err := config.Load(s, o)
		if err != nil || s.SecretKey != "  hush hush " {
			t.Errorf("%s: %q, %v", name, s.SecretKey, err)
			continue
		}
		if source := l.Source("secret_key"); !strings.HasSuffix(source, " (file)") {
			t.Errorf("%s: source %q", name, source)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "missing")
	empty := file(t, "\n")
	for name, c := range map[string]struct {
		yaml string
		env  []string
		over []config.Override
		want []string
	}{
		"unknown key":              {yaml: "listn: x", want: []string{`:1: unknown key "listn", did you mean listen?`}},
		"unknown nested key":       {yaml: "database:\n  pool:\n    sise: 3", want: []string{`:3: unknown key "sise", did you mean size?`}},
		"like nothing":             {yaml: "zzzzzzzzzzzz: 3", want: []string{`unknown key "zzzzzzzzzzzz"`}},
		"unknown variable":         {env: []string{"COUNTERSIGN_DATABASE_ULR=x"}, want: []string{`unknown variable "COUNTERSIGN_DATABASE_ULR", did you mean COUNTERSIGN_DATABASE_URL?`}},
		"file of what is open":     {env: []string{"COUNTERSIGN_LISTEN_FILE=x"}, want: []string{`unknown variable "COUNTERSIGN_LISTEN_FILE"`}},
		"unknown flag path":        {over: []config.Override{{Path: "listten", Source: "--listen"}}, want: []string{`--listen: unknown setting "listten", did you mean listen?`}},
		"all errors at once":       {yaml: "a: 1\nlimit: 300\nlimit: 2", env: []string{"COUNTERSIGN_DEBUG=perhaps"}, want: []string{`:1: unknown key "a"`, ":2: limit: want a whole number from 0 to 255", `:3: key "limit" is given twice`, "COUNTERSIGN_DEBUG: debug: want true or false"}},
		"duration without unit":    {yaml: "database: {wait: 30}", want: []string{"database.wait: want a duration with its unit"}},
		"duration of broken days":  {env: []string{"COUNTERSIGN_DATABASE_WAIT=1.5d"}, want: []string{"want a duration"}},
		"not a number":             {yaml: "ratio: NaN", want: []string{"ratio: want a number"}},
		"not a prefix":             {yaml: "proxies: [10.0.0.0/8, x]", want: []string{":1: proxies: item 2: want a value of the kind prefix"}},
		"list for a text":          {yaml: "listen: [a]", want: []string{"listen: want a text"}},
		"map for a list":           {yaml: "names: {a: b}", want: []string{"names: want a text list"}},
		"list in a list":           {yaml: "names: [[a]]", want: []string{"names: item 1: want a plain value"}},
		"text for a section":       {yaml: "database: x", want: []string{"database: want settings"}},
		"list for all":             {yaml: "- x", want: []string{"the file: want settings"}},
		"no value":                 {yaml: "listen:", want: []string{"listen has no value"}},
		"two documents":            {yaml: "listen: a\n---\nlisten: b", want: []string{"more than one YAML document"}},
		"broken yaml":              {yaml: "listen: [", want: []string{"yaml:"}},
		"merge key":                {yaml: "<<: {listen: a}", want: []string{`unknown key "<<"`}},
		"secret twice":             {env: []string{"COUNTERSIGN_SECRET_KEY=a", "COUNTERSIGN_SECRET_KEY_FILE=" + missing}, want: []string{"COUNTERSIGN_SECRET_KEY and COUNTERSIGN_SECRET_KEY_FILE are both given"}},
		"secret twice in yaml":     {yaml: "secret_key: a\nsecret_key_file: b", want: []string{"secret_key is given both as itself and as a file"}},
		"secret file missing":      {env: []string{"COUNTERSIGN_SECRET_KEY_FILE=" + missing}, want: []string{"COUNTERSIGN_SECRET_KEY_FILE: open " + missing}},
		"secret file empty":        {env: []string{"COUNTERSIGN_SECRET_KEY_FILE=" + empty}, want: []string{"the file is empty"}},
		"map without equals sign":  {env: []string{"COUNTERSIGN_LABELS=a=1,b"}, want: []string{"labels: want name=value"}},
		"same name twice in a map": {yaml: "labels: {a: 1, a: 2}", want: []string{"labels"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := config.Options{Environ: c.env, Overrides: c.over}
			if c.yaml != "" {
				o.File = file(t, c.yaml)
			}
			_, err := config.Load(defaults(), o)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q\nwant in it %q", err, want)
				}
			}
		})
	}
	if _, err := config.Load(defaults(), config.Options{File: missing}); err == nil {
		t.Error("a named file that is missing is accepted")
	}
}

func TestErrorsKeepSecrets(t *testing.T) {
	t.Parallel()
	var s struct {
		PIN int `yaml:"pin" secret:"true"`
	}
	_, err := config.Load(&s, config.Options{Environ: []string{"COUNTERSIGN_PIN=hunter2"}})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
}

func TestWrongDeclarations(t *testing.T) {
	t.Parallel()
	for name, into := range map[string]any{
		"no pointer": settings{},
		"no tag":     &struct{ A string }{},
		"odd key": &struct {
			A string `yaml:"A-b"`
		}{},
		"odd type": &struct {
			A chan int `yaml:"a"`
		}{},
		"twice": &struct {
			A string `yaml:"a"`
			B string `yaml:"a"`
		}{},
		"same variable": &struct {
			A string `yaml:"a_b"`
			B struct {
				C string `yaml:"b"`
			} `yaml:"a"`
		}{},
		"same variable as a file": &struct {
			A string `yaml:"a" secret:"true"`
			B string `yaml:"a_file"`
		}{},
	} {
		if _, err := config.Load(into, config.Options{}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestPrint(t *testing.T) {
	t.Parallel()
	s := defaults()
	yml := file(t, "names: [\"a, b\", 'c: d', \"e\\nf\", '', '# g']\nkeys: [hush]\nlabels: {b: x, a: '1'}\ndatabase: {url: 'postgres://u:hush@db/x?sslpassword=hush&sslmode=require'}\n")
	l, err := config.Load(s, config.Options{File: yml, Environ: []string{"COUNTERSIGN_SECRET_KEY=hush"}})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := l.Print(&out); err != nil {
		t.Fatal(err)
	}
	want := strings.ReplaceAll(`listen: 127.0.0.1:9000  # default
secret_key: '********'  # COUNTERSIGN_SECRET_KEY
debug: false  # default
level: INFO  # default
limit: 10  # default
offset: 0  # default
ratio: 0  # default
proxies: [127.0.0.0/8]  # default
names: ["a, b", 'c: d', "e\nf", "", "# g"]  # FILE:1
keys: '********'  # FILE:2
labels: {a: "1", b: x}  # FILE:3

database:
  url: postgres://u:********@db/x?sslmode=require&sslpassword=%2A%2A%2A%2A%2A%2A%2A%2A  # FILE:4
  wait: 1m30s  # default

  pool:
    size: 8  # default
`, "FILE", yml)
	got := strings.ReplaceAll(strings.ReplaceAll(out.String(), "# PostgreSQL.\n", ""), "  # Connections.\n", "")
	if got != want {
		t.Errorf("printed\n%s\nwant\n%s", got, want)
	}
	if strings.Contains(out.String(), "hush") {
		t.Error("a secret is printed")
	}
}

func TestPrintHidesWhatIsNoURL(t *testing.T) {
	t.Parallel()
	for _, conn := range []string{"host=db password=hush", "postgres://u:hush@[::1", "hush"} {
		s := defaults()
		l, err := config.Load(s, config.Options{Environ: []string{"COUNTERSIGN_DATABASE_URL=" + conn}})
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		if err := l.Print(&out); err != nil || strings.Contains(out.String(), "hush") {
			t.Errorf("%s: %v\n%s", conn, err, out.String())
		}
	}
}

func TestReferenceLoads(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := config.Reference(&out, defaults(), ""); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"# Address to listen on.\n# text; COUNTERSIGN_LISTEN\nlisten: 127.0.0.1:9000\n", "COUNTERSIGN_SECRET_KEY or COUNTERSIGN_SECRET_KEY_FILE",
		"# Names,\n# many of them.\n", "\n# PostgreSQL.\ndatabase:\n", "  # duration; COUNTERSIGN_DATABASE_WAIT\n  wait: 1m30s\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	s := defaults()
	if _, err := config.Load(s, config.Options{File: file(t, out.String())}); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	again := new(strings.Builder)
	if err := config.Reference(again, s, ""); err != nil || again.String() != out.String() {
		t.Errorf("reading the reference changes the settings: %v\n%s", err, again)
	}
}

func TestDurationText(t *testing.T) {
	t.Parallel()
	for text, d := range map[string]time.Duration{"0s": 0, "500ms": 500 * time.Millisecond, "1m30s": 90 * time.Second, "1h": time.Hour, "10m": 10 * time.Minute, "1h0m1s": time.Hour + time.Second, "100h1m": 100*time.Hour + time.Minute, "7d": 168 * time.Hour} {
		var s struct {
			D time.Duration `yaml:"d"`
		}
		l, err := config.Load(&s, config.Options{Environ: []string{"COUNTERSIGN_D=" + text}})
		if err != nil || s.D != d {
			t.Errorf("%s: %v, %v", text, s.D, err)
			continue
		}
		var out strings.Builder
		if err := l.Print(&out); err != nil || out.String() != "d: "+text+"  # COUNTERSIGN_D\n" {
			t.Errorf("%s is printed %q", text, out.String())
		}
	}
}

// FuzzYAML holds that no text makes Load panic, and that what Load takes is printed so that it can be loaded again.
func FuzzYAML(f *testing.F) {
	f.Add("listen: a\nlimit: 3\nnames: [x, 'y: z', \"\\n\"]\nlabels: {a: b}\ndatabase: {wait: 3s, pool: {size: 2}}")
	f.Add("&a [*a]")
	f.Add("listen: !!binary aGk=\n? [x]\n: y")
	f.Add("labels: {\"\": \"\", ~: x}")
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "c.yml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		first := defaults()
		l, err := config.Load(first, config.Options{File: path})
		if err != nil {
			return
		}
		first.SecretKey, first.Keys, first.Database.URL = "", nil, ""
		var out strings.Builder
		if err := l.Print(&out); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(out.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		second := defaults()
		if _, err := config.Load(second, config.Options{File: path}); err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
		second.SecretKey, second.Keys, second.Database.URL = "", nil, ""
		for _, s := range []*settings{first, second} { // an empty list or map is as good as none
			if len(s.Names) == 0 {
				s.Names = nil
			}
			if len(s.Labels) == 0 {
				s.Labels = nil
			}
			if len(s.Proxies) == 0 {
				s.Proxies = nil
			}
		}
		if !reflect.DeepEqual(first, second) {
			t.Fatalf("loaded %+v\nagain  %+v\nfrom %s", first, second, out.String())
		}
	})
}

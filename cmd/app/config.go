package app

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	netmail "net/mail"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"countersign/core/config"
	"countersign/core/mail"
	"countersign/mobile"
	"countersign/mobile/attestation"
	"countersign/push/apns"
)

// Config is all that a server can be told. The struct is the reference: `countersign config --reference` prints it.
type Config struct {
	Listen         string         `yaml:"listen" help:"Address to listen on, host:port."`
	DataDir        string         `yaml:"data_dir" help:"Directory for the managed PostgreSQL and the secret key; by default data, and for root /var/lib/countersign."`
	SecretKey      string         `yaml:"secret_key" secret:"true" help:"Key that seals secrets and signs cookies, at least 32 characters. Without one, it is made once and kept in data_dir."`
	OldSecretKeys  []string       `yaml:"old_secret_keys" secret:"true" help:"Keys that were used before, or will be next; they open what they sealed and seal nothing."`
	TrustedProxies []netip.Prefix `yaml:"trusted_proxies" help:"Networks whose X-Forwarded-For, -Proto and -Host headers are believed."`

	Hosts []string `yaml:"hosts" help:"Names under which the server answers, with a port for that port alone. Without one it answers under every name, also to a page that relays it."`

	TLS struct {
		Certificate string `yaml:"certificate" help:"PEM file of the certificate chain; with key, the server speaks TLS."`
		Key         string `yaml:"key" help:"PEM file of the certificate's private key."`
	} `yaml:"tls"`

	Log struct {
		Level  slog.Level `yaml:"level" help:"debug, info, warn or error."`
		Format string     `yaml:"format" help:"text or json."`
	} `yaml:"log"`

	Database struct {
		URL            string        `yaml:"url" secret:"url" help:"PostgreSQL to use. Without one, the server runs its own under data_dir."`
		MaxConnections int32         `yaml:"max_connections" help:"Connections at most; 0 is four for each processor and at least 16."`
		Wait           time.Duration `yaml:"wait" help:"How long to wait at the start for a PostgreSQL that does not answer yet."`
		Bin            string        `yaml:"bin" help:"Directory of initdb and postgres for the managed PostgreSQL. Without one, they are looked for, then fetched."`
	} `yaml:"database"`

	HTTP struct {
		BodyLimit   int64         `yaml:"body_limit" help:"Largest request body, in bytes."`
		ReadTimeout time.Duration `yaml:"read_timeout" help:"How long a request's header and body may take to arrive."`
		Grace       time.Duration `yaml:"grace" help:"How long a stopping server lets waiting logins end."`
	} `yaml:"http"`

	Metrics struct {
		Token string `yaml:"token" secret:"true" help:"Bearer token that /-/metrics/ asks of everybody but a client on the same machine, at least 16 characters. Without one, nobody else may read it."`
	} `yaml:"metrics"`

	Mobile struct {
		AnswerWindow time.Duration `yaml:"answer_window" help:"How long a phone may answer a prompt; at most 10m."`
		Pushes       int           `yaml:"pushes" help:"How often a phone rings within push_window for logins that nobody approves; a browser that the user is known in has its own count."`
		PushWindow   time.Duration `yaml:"push_window" help:"Time over which pushes counts, and the first pause after them; each further one is twice as long."`
		PushGap      time.Duration `yaml:"push_gap" help:"Pause before the last ring of the budget."`
		DenyGap      time.Duration `yaml:"deny_gap" help:"Pause after a denied prompt, doubled with each."`
		LongestPause time.Duration `yaml:"longest_pause" help:"The longest pause between two rings that nobody approves."`
		SourcePushes int           `yaml:"source_pushes" help:"Prompts of browsers and networks that no user is known by, from one network to all users, that may be unapproved on a node within push_window."`
		TotalPushes  int           `yaml:"total_pushes" help:"The same, from all networks together."`

		Webhooks struct {
			AllowedHosts []string `yaml:"allowed_hosts" help:"Hosts of webhooks, as host or host:port, that may have private addresses and speak plain HTTP."`
		} `yaml:"webhooks" help:"Where applications are told how an approval ended."`

		Attestation struct {
			AndroidRoots  string `yaml:"android_roots_file" help:"Roots of Android Key Attestation, in PEM or as Google's list at https://android.googleapis.com/attestation/root"`
			AppleRoots    string `yaml:"apple_roots_file" help:"Root of App Attest, in PEM; Apple's is at https://www.apple.com/certificateauthority/"`
			AndroidStatus string `yaml:"android_status_file" help:"List of revoked Android attestation keys from a file, looked at every hour."`
			AndroidURL    string `yaml:"android_status_url" help:"The same from a URL; Google's own is https://android.googleapis.com/attestation/status"`
		} `yaml:"attestation"`
	} `yaml:"mobile"`

	Push struct {
		Workers int `yaml:"workers" help:"Messages sent at once."`
		Queue   int `yaml:"queue" help:"Messages under way at once; more are refused and the browser is told."`
		FCM     struct {
			Credentials string `yaml:"credentials" secret:"true" help:"Service account key of the Firebase project, in Google's JSON form; usually given as credentials_file."`
			Project     string `yaml:"project" help:"Firebase project; default: that of the credentials."`
			URL         string `yaml:"url" help:"Base URL of Firebase Cloud Messaging, with the version."`
		} `yaml:"fcm"`
		APNs struct {
			Key   string `yaml:"key" secret:"true" help:"Key of the Apple Push Notification service, the text of its .p8 file; usually given as key_file."`
			KeyID string `yaml:"key_id" help:"Name of that key at Apple, ten characters."`
			Team  string `yaml:"team" help:"Apple developer team, ten characters."`
			Topic string `yaml:"topic" help:"Bundle id of the app."`
			URL   string `yaml:"url" help:"Base URL; https://api.sandbox.push.apple.com for apps that are not from the store."`
		} `yaml:"apns"`
		WebPush struct {
			Contact      string   `yaml:"contact" help:"mailto: or https: URL of who is responsible, told to push services; default: the address of mail.from. Apple's demands one."`
			AllowedHosts []string `yaml:"allowed_hosts" help:"Push services, as host or host:port, that may have private addresses and speak plain HTTP: those of your own network."`
		} `yaml:"webpush" help:"Web Push and UnifiedPush."`
		Relay struct {
			URL string `yaml:"url" help:"Relay of phones that choose one, as https://relay.example, where their stage names none in cgw_endpoint."`
			Key string `yaml:"key" secret:"true" help:"The relay's ticket for this server; its administrator makes it with countersign relay admit."`
		} `yaml:"relay" help:"For servers without credentials at Google or Apple."`
	} `yaml:"push"`

	Relay struct {
		Open        bool     `yaml:"open" help:"Take servers without a ticket."`
		Revoked     []string `yaml:"revoked" help:"Servers, by relay_instance, that are refused whatever they show."`
		PerInstance int      `yaml:"per_instance" help:"Wake-ups that a server may send in a minute."`
		PerPhone    int      `yaml:"per_phone" help:"Wake-ups that a phone may get in a minute."`
	} `yaml:"relay" help:"What countersign relay does for other servers; a server itself does not read it."`

	Mail struct {
		Host     string        `yaml:"host" help:"SMTP server that takes the mails to users. Without one, none are sent."`
		Port     int           `yaml:"port" help:"Its port; 0 is 587 with starttls, 465 with tls and 25 with none."`
		Username string        `yaml:"username" help:"Who logs in there; without one, nobody does."`
		Password string        `yaml:"password" secret:"true" help:"The password of username."`
		TLS      string        `yaml:"tls" help:"starttls (without it nothing is sent), tls from the first byte, or none."`
		From     string        `yaml:"from" help:"Sender of the mails, as in Countersign <login@example.org>."`
		Timeout  time.Duration `yaml:"timeout" help:"How long sending one mail may take, at most 30s."`
	} `yaml:"mail"`

	WebAuthn struct {
		MetadataFile string `yaml:"metadata_file" help:"FIDO metadata (MDS3) from a file, which proves the makes of authenticators."`
		MetadataURL  string `yaml:"metadata_url" help:"The same from a URL, asked once a day; FIDO's own is https://mds3.fidoalliance.org/"`
	} `yaml:"webauthn"`

	Events struct {
		Retention time.Duration `yaml:"retention" help:"How long audit events are kept."`
	} `yaml:"events"`

	Worker bool `yaml:"worker" help:"Run background jobs in the server; without, run countersign worker beside it."`
}

// Defaults are the settings of a server that was told nothing.
func Defaults() Config {
	var c Config
	c.Listen, c.DataDir, c.Worker = "127.0.0.1:9000", "data", true
	if os.Geteuid() == 0 { // PostgreSQL then runs as another user, who can enter few of root's own directories
		c.DataDir = "/var/lib/countersign"
	}
	c.Log.Format = "text"
	c.Database.Wait = 30 * time.Second
	c.HTTP.BodyLimit, c.HTTP.ReadTimeout, c.HTTP.Grace = 1<<20, 15*time.Second, time.Minute
	b := mobile.DefaultBudget()
	c.Mobile.AnswerWindow = time.Minute
	c.Mobile.Pushes, c.Mobile.PushWindow, c.Mobile.PushGap, c.Mobile.DenyGap = b.Pushes, b.Window, b.Gap, b.DenyGap
	c.Mobile.LongestPause, c.Mobile.SourcePushes, c.Mobile.TotalPushes = b.Longest, b.Source, b.Total
	c.Push.Workers, c.Push.Queue = 64, 10_000
	c.Push.WebPush.AllowedHosts, c.Mobile.Webhooks.AllowedHosts = []string{}, []string{}
	c.Push.APNs.URL = apns.Production
	c.Relay.Revoked, c.Relay.PerInstance, c.Relay.PerPhone = []string{}, 1200, 6
	c.Push.FCM.URL = "https://fcm.googleapis.com/v1"
	c.Mail.TLS, c.Mail.Timeout = mail.StartTLS, mail.MaxTimeout
	c.Events.Retention = 365 * 24 * time.Hour
	return c
}

// LoadConfig reads the settings: defaults, then the file, then the environment, then the overrides. Every mistake is
// named in the error.
func LoadConfig(file string, environ []string, overrides ...config.Override) (Config, *config.Loaded, error) {
	c := Defaults()
	loaded, err := config.Load(&c, config.Options{File: file, Environ: environ, Ignore: []string{"COUNTERSIGN_TEST_*"}, Overrides: overrides})
	if err != nil {
		return Config{}, nil, err
	}
	if err := c.validate(); err != nil {
		return Config{}, nil, err
	}
	return c, loaded, nil
}

func (c *Config) validate() error {
	var errs []error
	for _, rule := range []struct {
		bad  bool
		text string
	}{
		{slices.Contains(c.Mobile.Webhooks.AllowedHosts, ""), "mobile.webhooks.allowed_hosts: a host is empty"},
		{c.Listen == "", "listen: an address is needed"},
		{c.DataDir == "" && (c.Database.URL == "" || c.SecretKey == ""), "data_dir: it is needed without both database.url and secret_key"},
		{c.SecretKey != "" && len(c.SecretKey) < 32, "secret_key: at least 32 characters are needed"},
		{(c.TLS.Certificate == "") != (c.TLS.Key == ""), "tls: certificate and key are needed together"},
		{c.Log.Format != "text" && c.Log.Format != "json", "log.format: text or json"},
		{c.HTTP.BodyLimit < 1024, "http.body_limit: at least 1024 bytes"},
		{c.HTTP.ReadTimeout <= 0, "http.read_timeout: more than 0"},
		{c.HTTP.Grace < 0, "http.grace: not negative"},
		{c.Metrics.Token != "" && len(c.Metrics.Token) < 16, "metrics.token: at least 16 characters are needed"},
		{c.Mobile.AnswerWindow < time.Second || c.Mobile.AnswerWindow > mobile.MaxAnswerWindow, "mobile.answer_window: 1s to 10m"},
		{c.Mobile.Pushes < 1 || c.Mobile.Pushes > mobile.MaxPushes, fmt.Sprintf("mobile.pushes: 1 to %d", mobile.MaxPushes)},
		{c.Mobile.PushWindow <= 0 || c.Mobile.PushGap < 0 || c.Mobile.DenyGap < 0, "mobile: windows and gaps are not negative"},
		{c.Mobile.LongestPause < c.Mobile.PushWindow || c.Mobile.LongestPause > 24*time.Hour, "mobile.longest_pause: push_window to 24h"},
		{c.Mobile.SourcePushes < 1 || c.Mobile.TotalPushes < 1, "mobile.source_pushes, total_pushes: at least 1"},
		{c.Mobile.Attestation.AndroidURL != "" && !strings.HasPrefix(c.Mobile.Attestation.AndroidURL, "https://"), "mobile.attestation.android_status_url: it begins with https://"},
		{c.Push.Workers < 1 || c.Push.Queue < 1, "push: workers and queue are at least 1"},
		{c.Relay.PerInstance < 1 || c.Relay.PerPhone < 1, "relay: per_instance and per_phone are at least 1"},
		{c.Events.Retention < 24*time.Hour, "events.retention: at least 24h"},
	} {
		if rule.bad {
			errs = append(errs, errors.New(rule.text))
		}
	}
	m := c.mail()
	return errors.Join(errors.Join(errs...), m.Validate())
}

// mail is how mails go out.
func (c *Config) mail() mail.Settings {
	m := c.Mail
	return mail.Settings{Host: m.Host, Port: m.Port, Username: m.Username, Password: m.Password, TLS: m.TLS, From: m.From, Timeout: m.Timeout}
}

// PushContact is whom push services may ask about our messages, as a URL; "" is nobody.
func (c *Config) PushContact() string {
	if c.Push.WebPush.Contact != "" {
		return c.Push.WebPush.Contact
	}
	if from, err := netmail.ParseAddress(c.Mail.From); err == nil {
		return "mailto:" + from.Address
	}
	return ""
}

// Logger makes the log that the settings ask for.
func (c *Config) Logger(w io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: c.Log.Level}
	if c.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

func (c *Config) makeDataDir() error {
	if c.DataDir == "" {
		return nil
	}
	if err := os.MkdirAll(c.DataDir, 0o755); err != nil { //nolint:gosec // PostgreSQL's own user must be able to enter
		return fmt.Errorf("make the data directory: %w", err)
	}
	return nil
}

// evidence is by what attestations of phones are checked. Errors: a file of roots that is none.
func (c *Config) evidence() (mobile.Evidence, error) {
	a := c.Mobile.Attestation
	e := mobile.Evidence{StatusFile: a.AndroidStatus, StatusURL: a.AndroidURL}
	for _, f := range []struct {
		setting, file string
		roots         *attestation.Roots
	}{
		{"mobile.attestation.android_roots_file", a.AndroidRoots, &e.AndroidRoots},
		{"mobile.attestation.apple_roots_file", a.AppleRoots, &e.AppleRoots},
	} {
		if f.file == "" {
			continue
		}
		text, err := os.ReadFile(f.file)
		if err == nil {
			*f.roots, err = attestation.ParseRoots(text)
		}
		if err != nil {
			return mobile.Evidence{}, fmt.Errorf("%s: %w", f.setting, err)
		}
	}
	return e, nil
}

// keyFile is the secret key in the data directory.
const keyFile = "secret_key"

// secretKeys gives the configured keys, or the one kept in the data directory, which is made at the first start.
func (c *Config) secretKeys(make func() string) ([]string, error) {
	key := c.SecretKey
	if key == "" {
		path := filepath.Join(c.DataDir, keyFile)
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		switch {
		case err == nil:
			key = make()
			_, werr := f.WriteString(key + "\n")
			if err := errors.Join(werr, f.Sync(), f.Close()); err != nil {
				return nil, fmt.Errorf("keep the secret key: %w", err)
			}
		case errors.Is(err, os.ErrExist):
			raw, err := os.ReadFile(path)
			if err != nil {
				return nil, fmt.Errorf("read the secret key: %w", err)
			}
			if key = string(trimLine(raw)); len(key) < 32 {
				return nil, fmt.Errorf("the secret key in %s is damaged: it has %d characters", path, len(key))
			}
		default:
			return nil, fmt.Errorf("keep the secret key: %w", err)
		}
	}
	return append([]string{key}, c.OldSecretKeys...), nil
}

func trimLine(b []byte) []byte {
	for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == '\r') {
		b = b[:len(b)-1]
	}
	return b
}

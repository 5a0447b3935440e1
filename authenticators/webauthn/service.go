package webauthn

import (
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	library "github.com/go-webauthn/webauthn/webauthn"
	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/core/event"
	"countersign/core/user"
)

const (
	// Class is the device class.
	Class = "webauthn"
	// app is the label in model names, as clients of the contract know it.
	app = "authentik_stages_authenticator_webauthn"
)

const (
	// challengeLife is how long after it was made a challenge may be answered.
	challengeLife = 10 * time.Minute
	// promptTime is what the browser is told to give the person, in milliseconds (core.md §2.14).
	promptTime = 60_000
	// maxAnswer bounds the JSON of one answer, in bytes: the longest attestations, with a chain of certificates, are
	// about a tenth of it.
	maxAnswer = 64 << 10
	// maxCredentialID is the length in bytes that WebAuthn allows (§5.8.3).
	maxCredentialID = 1023
)

// Options are what a Service needs. MetadataFile, MetadataURL, HTTP, Root and Now may be left out.
type Options struct {
	Pool   *pgxpool.Pool
	Users  *user.Store
	Events *event.Log
	Log    *slog.Logger

	// MetadataFile is a BLOB of the FIDO Metadata Service, version 3; "" is none.
	MetadataFile string
	// MetadataURL is where Refresh gets one; "" asks nobody. The file is used where this fails.
	MetadataURL string
	HTTP        *http.Client // default: one with a minute for everything
	Root        string       // base64 DER of the certificate that the BLOB's chain must end at; default: the FIDO Alliance's

	Now func() time.Time
}

// Service is the server side of passkeys. It is safe for concurrent use.
type Service struct {
	Options

	mu      sync.Mutex
	current *metadataSet // parsed once, shared by the registrations of this node
}

// New makes a service. Refresh fills its tables.
func New(o Options) *Service {
	if o.HTTP == nil {
		o.HTTP = &http.Client{Timeout: time.Minute}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Service{Options: o}
}

// site is where the page stands, as the authenticator signs it.
type site struct {
	id     string // relying party: the host
	origin string // scheme://host, with the port unless it is the scheme's own
}

// siteOf reads a base URL, scheme://host[:port]/.
func siteOf(base string) site {
	u, err := url.Parse(base)
	if err != nil {
		return site{}
	}
	host := strings.ToLower(u.Hostname())
	s := site{id: host, origin: u.Scheme + "://" + host}
	if strings.Contains(host, ":") {
		s.origin = u.Scheme + "://[" + host + "]"
	}
	if port := u.Port(); port != "" && !(u.Scheme == "http" && port == "80") && !(u.Scheme == "https" && port == "443") {
		s.origin += ":" + port
	}
	return s
}

// named tells whether the site has a name: browsers make no passkeys for bare addresses (WebAuthn §5.1.3, step 8).
func (s site) named() bool { return s.id != "" && net.ParseIP(s.id) == nil }

// party is the library for the site; set, if not nil, is what attestations are held against.
func (s site) party(set *metadataSet) (*library.WebAuthn, error) {
	c := &library.Config{
		RPID: s.id, RPDisplayName: s.id, RPOrigins: []string{s.origin},
		// Clients answer extensions that nobody asked for; the specification has the server ignore them (WebAuthn §9.4).
		ExtensionsUnsolicitedOutputPolicy: protocol.UnsolicitedOutputPolicyIgnore,
	}
	if set != nil {
		c.MDS = set.provider
	}
	return library.New(c)
}

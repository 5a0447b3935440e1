package webauthn

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/go-webauthn/webauthn/metadata"
	"github.com/go-webauthn/webauthn/metadata/providers/memory"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/db"
)

const (
	// maxBlob bounds a BLOB, in bytes; the FIDO Alliance's has about 5 MiB.
	maxBlob = 64 << 20
	// signer is the host in the certificate that signs the BLOB (FIDO Metadata Service §3.1.7). The root has other
	// customers, so the chain alone says little.
	signer = "mds.fidoalliance.org"
)

// metadataSet is one BLOB, verified and ready.
type metadataSet struct {
	number   int
	next     time.Time // when the next one is due; zero if it does not say
	entries  map[uuid.UUID]*metadata.Entry
	skipped  int // entries that could not be read
	provider metadata.Provider
}

// decodeBlob verifies a BLOB against a root, base64 DER, and reads it. Nothing is asked of the network: certificates
// that were revoked since are not noticed, only expired ones.
func decodeBlob(blob []byte, root string, now time.Time) (*metadataSet, error) {
	var claims struct {
		jwt.RegisteredClaims
		Number  int               `json:"no"`
		Next    string            `json:"nextUpdate"`
		Entries []json.RawMessage `json:"entries"`
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "ES512"}),
		jwt.WithoutClaimsValidation())
	_, err := parser.ParseWithClaims(string(bytes.TrimSpace(blob)), &claims, func(t *jwt.Token) (any, error) {
		leaf, err := verifyChain(t.Header["x5c"], root, now)
		if err != nil {
			return nil, err
		}
		return leaf.PublicKey, nil
	})
	if err != nil {
		return nil, fmt.Errorf("verify metadata: %w", err)
	}
	s := &metadataSet{number: claims.Number, entries: make(map[uuid.UUID]*metadata.Entry, len(claims.Entries))}
	s.next, _ = time.Parse(time.DateOnly, claims.Next)
	for _, raw := range claims.Entries {
		var text metadata.EntryJSON
		entry := metadata.Entry{}
		err := json.Unmarshal(raw, &text)
		if err == nil {
			entry, err = text.Parse()
		}
		switch {
		case err != nil:
			s.skipped++
		case entry.AaGUID != uuid.Nil: // the others are of UAF and U2F, which have no AAGUID
			s.entries[entry.AaGUID] = &entry
		}
	}
	s.provider, err = memory.New(memory.WithMetadata(s.entries),
		// Passkeys of password managers are no FIDO members' and prove nothing: they are not refused for it.
		memory.WithValidateEntry(false), memory.WithValidateEntryPermitZeroAAGUID(true),
		memory.WithValidateTrustAnchor(true), memory.WithValidateStatus(true), memory.WithValidateAttestationTypes(true),
		memory.WithValidateStatusCertificateScope(true),
	)
	if err != nil {
		return nil, fmt.Errorf("prepare metadata: %w", err)
	}
	return s, nil
}

// verifyChain checks an x5c header up to the root and gives its first certificate.
func verifyChain(x5c any, root string, now time.Time) (*x509.Certificate, error) {
	list, _ := x5c.([]any)
	if len(list) == 0 || len(list) > 10 {
		return nil, errors.New("the metadata has no chain of certificates")
	}
	chain := make([]*x509.Certificate, 0, len(list))
	for _, item := range list {
		text, _ := item.(string)
		c, err := parseCertificate(text)
		if err != nil {
			return nil, err
		}
		chain = append(chain, c)
	}
	anchor, err := parseCertificate(root)
	if err != nil {
		return nil, fmt.Errorf("read the root: %w", err)
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(anchor)
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err = chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: now, DNSName: signer, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	return chain[0], err
}

func parseCertificate(text string) (*x509.Certificate, error) {
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

func (s *Service) decode(blob []byte, at time.Time) (*metadataSet, error) {
	return decodeBlob(blob, cmp.Or(s.Root, metadata.ProductionMDSRoot), at)
}

// errStored is a stored BLOB that does not verify.
var errStored = errors.New("the stored metadata of authenticators is not good")

// source reads the BLOB that this node was told of; nil for none.
func (s *Service) source(ctx context.Context) ([]byte, error) {
	var failed error
	if s.MetadataURL != "" {
		blob, err := s.download(ctx)
		if err == nil {
			return blob, nil
		}
		failed = fmt.Errorf("get metadata: %w", err)
	}
	if s.MetadataFile == "" {
		return nil, failed
	}
	f, err := os.Open(s.MetadataFile)
	if err != nil {
		return nil, errors.Join(failed, fmt.Errorf("read metadata: %w", err))
	}
	defer func() { _ = f.Close() }()
	blob, err := readBlob(f)
	if err != nil {
		return nil, errors.Join(failed, fmt.Errorf("read metadata: %w", err))
	}
	if failed != nil {
		s.Log.WarnContext(ctx, "the metadata of authenticators is taken from its file", "error", failed)
	}
	return blob, nil
}

func (s *Service) download(ctx context.Context) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.MetadataURL, nil)
	if err != nil {
		return nil, err
	}
	resp, err := s.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer was %s", resp.Status)
	}
	return readBlob(resp.Body)
}

func readBlob(r io.Reader) ([]byte, error) {
	blob, err := io.ReadAll(io.LimitReader(r, maxBlob+1))
	if err == nil && len(blob) > maxBlob {
		err = fmt.Errorf("it is larger than %d bytes", maxBlob)
	}
	return blob, err
}

// metadata gives the newest metadata of the installation; nil if it has none. It costs one small query, and a second one
// with the parsing when another node has stored newer metadata. The stored BLOB is verified again, since the database is
// no authority for it, but as of the time when it came: its signer's certificate runs out before the next one comes, where
// somebody brings it by hand. Errors: errStored, the database's.
func (s *Service) metadata(ctx context.Context, q db.Querier) (*metadataSet, error) {
	var number int
	err := q.QueryRow(ctx, `SELECT number FROM webauthn_metadata`).Scan(&number)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // none is a normal state
	}
	if err != nil {
		return nil, fmt.Errorf("read metadata: %w", db.Fault(err))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil && s.current.number == number {
		return s.current, nil
	}
	var blob []byte
	var loaded time.Time
	if err := q.QueryRow(ctx, `SELECT blob, loaded FROM webauthn_metadata`).Scan(&blob, &loaded); err != nil {
		return nil, fmt.Errorf("read metadata: %w", db.Fault(err))
	}
	set, err := s.decode(blob, loaded)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errStored, err)
	}
	s.current = set
	return set, nil
}

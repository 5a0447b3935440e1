package mobile

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"countersign/flows"
	"countersign/mobile/attestation"
	"countersign/mobile/wire"
	"countersign/simulator/maker"
)

// makers sets a bench up to trust a maker of phones.
func (b *bench) makers() *maker.Maker {
	b.t.Helper()
	m, err := maker.New()
	if err != nil {
		b.t.Fatal(err)
	}
	e := &b.service.Evidence
	if e.AndroidRoots, err = attestation.ParseRoots(m.AndroidRoots()); err != nil {
		b.t.Fatal(err)
	}
	if e.AppleRoots, err = attestation.ParseRoots(m.AppleRoots()); err != nil {
		b.t.Fatal(err)
	}
	e.StatusFile = filepath.Join(b.t.TempDir(), "status.json")
	if err := os.WriteFile(e.StatusFile, m.Status(), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return m
}

// chainOf is the attestation of a key, for an enrolment by hand.
func chainOf(t testing.TB, m *maker.Maker, fault maker.Fault, h *hand, key wire.Key, userAuth bool) *wire.Attestation {
	t.Helper()
	chain, err := m.AndroidChain(maker.Order{
		Fault: fault, Key: key.Public(), Challenge: wire.AttestationChallenge(h.device.String(), h.token), UserAuth: userAuth,
	})
	if err != nil {
		t.Fatal(err)
	}
	a := &wire.Attestation{Format: wire.AndroidKey}
	for _, der := range chain {
		a.Chain = append(a.Chain, base64.StdEncoding.EncodeToString(der))
	}
	return a
}

// G8: a stage that demands hardware takes a phone that proves it, and no other; what was found is kept, shown and told.
func TestStageDemandsHardware(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := b.makers()
	signer := maker.Signer()
	set := Settings{
		Mode: wire.NumberMatching3, Accepted: AcceptSigned, Attestation: attestation.Hardware, MinPatch: "2025-01",
		AndroidApps: []string{maker.Package + "/" + hex.EncodeToString(signer[:])},
	}
	stage := b.stage(set)
	enrol := func(fault maker.Fault) error {
		_, err := b.bringing(b.user, stage, false, func(h *hand, keys *wire.EnrollmentKeys) {
			keys.Attestation = chainOf(t, m, fault, h, h.signer.Key, false)
		})
		return err
	}
	if err := enrol(maker.Good); err == nil || !strings.HasPrefix(err.Error(), "503") {
		t.Errorf("before the list of revoked keys came: %v", err)
	}
	if err := b.service.RefreshRevoked(t.Context()); err != nil {
		t.Fatal(err)
	}
	for fault, code := range map[maker.Fault]string{
		maker.Software: "level", maker.Revoked: "revoked", maker.Rooted: "boot", maker.Foreign: "key", maker.WrongChallenge: "challenge",
		maker.Untrusted: "untrusted", maker.Expired: "expired", maker.Extended: "untrusted", maker.OldPatch: "patch",
	} {
		err := enrol(fault)
		if err == nil || !strings.HasPrefix(err.Error(), "400") || !strings.Contains(err.Error(), `{"keys":{"attestation":`) {
			t.Errorf("%s: %v", fault, err)
		}
		if n := value[int](b, `SELECT count(*) FROM events WHERE action = $1 AND context->>'reason' = $2 AND "user"->>'username' = 'ada'`, actionRefused, code); n == 0 {
			t.Errorf("%s: no event says %s", fault, code)
		}
	}
	if _, err := b.signing(b.user, stage, false); err == nil || !strings.Contains(err.Error(), `{"keys":{"attestation":`) {
		t.Errorf("without an attestation: %v", err)
	}
	if n := value[int](b, `SELECT count(*) FROM mobile_devices WHERE confirmed`); n != 0 {
		t.Fatalf("%d phones were taken", n)
	}
	if err := enrol(maker.Good); err != nil {
		t.Fatal(err)
	}
	found := value[findings](b, `SELECT attestation FROM mobile_devices WHERE confirmed`)
	if len(found) != 1 || found[0].Level != attestation.TEE || found[0].Key != "possession" || found[0].Boot != attestation.Verified || found[0].Problem != "" {
		t.Errorf("kept: %+v", found)
	}
	if level := value[string](b, `SELECT context->'attestation'->0->>'security_level' FROM events WHERE action = 'custom_mobile_enrolment_called_in'`); level != "tee" {
		t.Errorf("the event says %s", level)
	}
}

// T12, G8: a login claims a key in hardware where that is proved of the key that signed, and a key in software in every other case.
func TestLoginClaimsHardware(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	m := l.makers()
	if err := l.service.RefreshRevoked(t.Context()); err != nil {
		t.Fatal(err)
	}
	stage := l.stage(Settings{Mode: wire.NumberMatching3, Accepted: AcceptSigned, Attestation: attestation.Recorded, AppleApps: []string{maker.AppID}})
	first := func(fault maker.Fault) func(*hand, *wire.EnrollmentKeys) {
		return func(h *hand, keys *wire.EnrollmentKeys) {
			keys.Attestation = chainOf(t, m, fault, h, h.signer.Key, false)
		}
	}
	for name, x := range map[string]struct {
		verifies bool
		edit     func(*hand, *wire.EnrollmentKeys)
		before   func(h *hand) *hand // the login
		claims   string
	}{
		"good":      {false, first(maker.Good), nil, "hwk"},
		"strongbox": {false, first(maker.StrongBox), nil, "hwk"},
		"software":  {false, first(maker.Software), nil, "swk"},
		"rooted":    {false, first(maker.Rooted), nil, "swk"},
		"revoked":   {false, first(maker.Revoked), nil, "swk"},
		"untrusted": {false, first(maker.Untrusted), nil, "swk"},
		"foreign":   {false, first(maker.Foreign), nil, "swk"},
		"nothing":   {false, nil, nil, "swk"},
		"iphone": {false, func(h *hand, keys *wire.EnrollmentKeys) {
			keys.Attestation = objectOf(t, m, h, h.signer.Key)
		}, nil, "swk"},
		"only the key that did not sign": {true, first(maker.Good), nil, "swk"},
		"the key that checks the owner": {true, func(h *hand, keys *wire.EnrollmentKeys) {
			keys.VerificationAttestation = chainOf(t, m, maker.Good, h, h.verifier.Key, true)
		}, nil, "hwk"},
		"replaced by one without proof": {false, first(maker.Good), func(h *hand) *hand {
			next := h.renewed(false, false)
			if status, text := h.operate(wire.ActionRotate, h.rotation(next)); status != 204 {
				t.Fatalf("%d %s", status, text)
			}
			return next
		}, "swk"},
	} {
		for _, read := range []bool{false, true} { // by the node that heard the answer, and by one that reads it
			owner := l.makeUser(fmt.Sprint(name, read))
			p, err := l.bringing(owner, stage, x.verifies, x.edit)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if x.before != nil {
				p = x.before(p)
			}
			tab := l.tab()
			r := tab.send(map[string]any{"uid_field": fmt.Sprint(name, read)})
			held := tab.held(l, askBody(p.device, r.item(p.device)))
			if read {
				l.service.waiters.wake(value[uuid.UUID](l.bench, `SELECT tx_id FROM mobile_transactions WHERE device = $1`, p.device))
				l.got(held)
				held = tab.held(l, map[string]any{"mobile": p.device.String()})
			}
			if status, text := p.answers(r.item(p.device)); status != 204 {
				t.Fatalf("%s: %d %s", name, status, text)
			}
			if r := l.got(held); r.Component != flows.ComponentRedirect {
				t.Fatalf("%s: %+v", name, r)
			}
			amr := value[[]string](l.bench, `SELECT ARRAY(SELECT jsonb_array_elements_text(auth->'args'->'mfa_devices'->0->'amr')) FROM sessions WHERE user_id = $1`, owner)
			if slices.Contains(amr, "hwk") != (x.claims == "hwk") || slices.Contains(amr, "swk") != (x.claims == "swk") {
				t.Errorf("%s, read: %t: the login claims %v, want %s", name, read, amr, x.claims)
			}
			told := value[bool](l.bench, `SELECT (context->>'hardware_key')::boolean FROM events WHERE action = $1 AND "user"->>'username' = $2`, actionApproved, fmt.Sprint(name, read))
			if told != (x.claims == "hwk") {
				t.Errorf("%s: the event says hardware_key %t", name, told)
			}
		}
	}
}

// G8: every key that can approve has to be attested, the second as one that asks for its owner; an iPhone's app vouches for
// both.
func TestEachKeyIsAttested(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := b.makers()
	if err := b.service.RefreshRevoked(t.Context()); err != nil {
		t.Fatal(err)
	}
	stage := func(level Accepted) uuid.UUID {
		return b.stage(Settings{Mode: wire.NumberMatching3, Accepted: level, Attestation: attestation.Hardware, AppleApps: []string{maker.AppID}})
	}
	for name, x := range map[string]struct {
		level Accepted
		edit  func(h *hand, keys *wire.EnrollmentKeys)
		code  string
	}{
		"both": {AcceptSigned, func(h *hand, keys *wire.EnrollmentKeys) {
			keys.Attestation = chainOf(t, m, maker.Good, h, h.signer.Key, false)
			keys.VerificationAttestation = chainOf(t, m, maker.Good, h, h.verifier.Key, true)
		}, ""},
		"the second is not": {AcceptSigned, func(h *hand, keys *wire.EnrollmentKeys) {
			keys.Attestation = chainOf(t, m, maker.Good, h, h.signer.Key, false)
		}, "required"},
		"the first twice": {AcceptVerified, func(h *hand, keys *wire.EnrollmentKeys) {
			keys.Attestation = chainOf(t, m, maker.Good, h, h.signer.Key, false)
			keys.VerificationAttestation = keys.Attestation
		}, "required"},
		"the one that approves": {AcceptVerified, func(h *hand, keys *wire.EnrollmentKeys) {
			keys.Attestation = chainOf(t, m, maker.Good, h, h.verifier.Key, true)
		}, ""},
		"the second needs no owner": {AcceptVerified, func(h *hand, keys *wire.EnrollmentKeys) {
			keys.Attestation = chainOf(t, m, maker.Good, h, h.verifier.Key, false)
		}, "user_authentication"},
		"iPhone": {AcceptVerified, func(h *hand, keys *wire.EnrollmentKeys) {
			keys.Attestation = objectOf(t, m, h, h.signer.Key, h.verifier.Key)
		}, ""},
		"iPhone, one key": {AcceptVerified, func(h *hand, keys *wire.EnrollmentKeys) {
			keys.Attestation = objectOf(t, m, h, h.signer.Key)
		}, "challenge"},
	} {
		_, err := b.bringing(b.makeUser(name), stage(x.level), true, x.edit)
		if x.code == "" != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
		if x.code == "" {
			continue
		}
		if n := value[int](b, `SELECT count(*) FROM events WHERE action = $1 AND context->>'reason' = $2 AND "user"->>'username' = $3`, actionRefused, x.code, name); n != 1 {
			t.Errorf("%s: %d events say %s (%v)", name, n, x.code, err)
		}
	}
}

func objectOf(t testing.TB, m *maker.Maker, h *hand, keys ...wire.Key) *wire.Attestation {
	t.Helper()
	var thumbprints []string
	for _, k := range keys {
		thumbprints = append(thumbprints, k.Thumbprint)
	}
	object, err := m.AppleObject(maker.Good, sha256.Sum256(wire.AttestationClientData(wire.AttestationChallenge(h.device.String(), h.token), thumbprints...)))
	if err != nil {
		t.Fatal(err)
	}
	return &wire.Attestation{Format: wire.AppAttest, Object: base64.StdEncoding.EncodeToString(object)}
}

// A stage that records takes every phone, and says of each what was found.
func TestStageRecordsAttestations(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := b.makers()
	if err := b.service.RefreshRevoked(t.Context()); err != nil {
		t.Fatal(err)
	}
	stage := b.stage(Settings{Mode: wire.NumberMatching3, Accepted: AcceptBearer, Attestation: attestation.Recorded})
	for fault, want := range map[maker.Fault]attestation.Finding{
		maker.StrongBox: {Level: attestation.StrongBox, Boot: attestation.Verified},
		maker.Software:  {Level: attestation.Software, Boot: ""},
		maker.Rooted:    {Level: attestation.TEE, Boot: attestation.Unverified},
		maker.Revoked:   {Level: attestation.TEE, Boot: attestation.Verified, Problem: "revoked"},
		maker.Foreign:   {Problem: "key"},
	} {
		h, err := b.bringing(b.user, stage, false, func(h *hand, keys *wire.EnrollmentKeys) {
			keys.Attestation = chainOf(t, m, fault, h, h.signer.Key, false)
		})
		if err != nil {
			t.Fatalf("%s: %v", fault, err)
		}
		found := value[findings](b, `SELECT attestation FROM mobile_devices WHERE uuid = $1`, h.device)
		if len(found) != 1 || found[0].Level != want.Level || found[0].Boot != want.Boot || found[0].Problem != want.Problem {
			t.Errorf("%s: found %+v", fault, found)
		}
	}
	h, err := b.signing(b.user, stage, false)
	if err != nil {
		t.Fatal(err)
	}
	if found := value[findings](b, `SELECT attestation FROM mobile_devices WHERE uuid = $1`, h.device); len(found) != 0 {
		t.Errorf("of a phone that sent none: %+v", found)
	}
}

// An attestation of the wrong form is a 400 that names it, whatever the stage demands.
func TestAttestationForm(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stage := b.demanding(AcceptSigned)
	for field, a := range map[string]wire.Attestation{
		`{"attestation":{"format"`: {Format: "tpm", Chain: []string{"AAAA"}},
		`{"attestation":{"chain"`:  {Format: wire.AndroidKey, Object: "AAAA"},
		`{"attestation":{"object"`: {Format: wire.AppAttest},
		`"Must be in base64`:       {Format: wire.AndroidKey, Chain: []string{"no base64"}},
		"certificates":             {Format: wire.AndroidKey, Chain: []string{strings.Repeat("A", wire.MaxAttestationBytes+4)}},
	} {
		_, err := b.bringing(b.user, stage, false, func(_ *hand, keys *wire.EnrollmentKeys) { keys.Attestation = &a })
		if err == nil || !strings.HasPrefix(err.Error(), "400") || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// The list of revoked keys comes from its URL, or from the file where that fails; one that is none leaves the old one.
func TestRefreshRevoked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.makers()
	text, status := `{"entries": {"0A1b": {"status": "REVOKED"}}}`, http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(text))
	}))
	defer server.Close()
	e := &b.service.Evidence
	e.StatusURL = server.URL
	count := func(serial string) int {
		return value[int](b, `SELECT count(*) FROM mobile_attestation_revoked WHERE $1 IN ('', serial)`, serial)
	}
	if err := b.service.RefreshRevoked(t.Context()); err != nil || count("a1b") != 1 || count("") != 1 {
		t.Errorf("from the URL: %v, %d", err, count(""))
	}
	status = http.StatusBadGateway
	if err := b.service.RefreshRevoked(t.Context()); err == nil || count("a1b") != 0 || count("") != 1 {
		t.Errorf("from the file: %v, %d", err, count(""))
	}
	e.StatusFile, status, text = "", http.StatusOK, `{"hello": "world"}`
	if err := b.service.RefreshRevoked(t.Context()); err == nil || count("") != 1 {
		t.Errorf("of one that is none: %v, %d", err, count(""))
	}
}

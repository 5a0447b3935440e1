package mobile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/mobile/attestation"
	"countersign/mobile/wire"
)

// Evidence is by what attestations are checked.
type Evidence struct {
	AndroidRoots, AppleRoots attestation.Roots
	// StatusFile and StatusURL are where RefreshRevoked gets Google's list of revoked keys; the file is used where the URL
	// fails. With neither, none is revoked.
	StatusFile, StatusURL string
	HTTP                  *http.Client // default: one with a minute for everything
}

// findings are what was found of a phone's keys, each attested one for itself.
type findings []attestation.Finding

// inHardware tells whether the key of a use is proved to be in hardware.
func (f findings) inHardware(use wire.Use) bool {
	return slices.ContainsFunc(f, func(one attestation.Finding) bool { return one.Key == string(use) && one.InHardware() })
}

func (f findings) keep(ctx context.Context, tx pgx.Tx, device uuid.UUID) error {
	if len(f) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, `UPDATE mobile_devices SET attestation = $2 WHERE uuid = $1`, device, f); err != nil {
		return fmt.Errorf("keep attestation: %w", db.Fault(err))
	}
	return nil
}

// replace puts what was found of the keys that a phone brings in place of what was found of those before them.
func (f findings) replace(ctx context.Context, tx pgx.Tx, device uuid.UUID, keys phoneKeys) error {
	var all findings
	if err := tx.QueryRow(ctx, `SELECT attestation FROM mobile_devices WHERE uuid = $1`, device).Scan(&all); err != nil {
		return fmt.Errorf("read attestation: %w", db.Fault(err))
	}
	all = slices.DeleteFunc(all, func(old attestation.Finding) bool {
		_, brought := keys[wire.Use(old.Key)]
		return brought || old.Format == wire.AppAttest
	})
	if _, err := tx.Exec(ctx, `UPDATE mobile_devices SET attestation = $2 WHERE uuid = $1`, device, append(append(findings{}, all...), f...)); err != nil {
		return fmt.Errorf("keep attestation: %w", db.Fault(err))
	}
	return nil
}

// checkDemand refuses a stage that could take no phone, or that demands what cannot be checked.
func (s *Service) checkDemand(set *Settings, fields fault.Fields) {
	if set.Attestation.Needed() {
		if set.Accepted == AcceptBearer {
			fields.Add("attestation", "invalid", "Only phones that sign have a key to attest: accepted_answers must be signed or signed_user_verified.")
		}
		if len(s.Evidence.AndroidRoots) == 0 && len(s.Evidence.AppleRoots) == 0 {
			fields.Add("attestation", "invalid", "This server has no roots to check attestations by: set mobile.attestation.android_roots_file or apple_roots_file.")
		}
	}
	if set.MinPatch != "" && !attestation.IsPatch(set.MinPatch) {
		fields.Add("attestation_min_patch", "invalid", "Must be a year and a month, as 2026-03.")
	}
	for _, list := range []struct {
		field, form string
		apps        []string
		good        func(string) bool
	}{
		{"attestation_android_apps", "<package>/<SHA-256 of the signing certificate in hexadecimal, in small letters>", set.AndroidApps, attestation.IsAndroidApp},
		{"attestation_apple_apps", "<team>.<bundle id>", set.AppleApps, attestation.IsAppleApp},
	} {
		if i := slices.IndexFunc(list.apps, func(app string) bool { return !list.good(app) }); i >= 0 {
			fields.Add(list.field, "invalid", fmt.Sprintf("%q is not of the form %s.", clip(list.apps[i], 100), list.form))
		}
		if len(list.apps) > maxApps {
			fields.Add(list.field, "max_length", fmt.Sprintf("Ensure this field has no more than %d elements.", maxApps))
		}
	}
}

const maxApps = 50

// attest looks at what a phone's maker says of the keys that it brings to its enrolment, as the stage of the device demands.
// Errors: Invalid about keys.attestation, of which there is an event; Unavailable while the list of revoked keys is missing.
func (s *Service) attest(ctx context.Context, device uuid.UUID, token string, in *wire.EnrollmentKeys, keys phoneKeys) (findings, error) {
	var raw []byte
	var name string
	var owner event.User
	err := s.Pool.QueryRow(ctx, `SELECT coalesce(s.settings, '{}'), d.name, u.id, u.username, u.email
		FROM mobile_devices d JOIN users u ON u.id = d.user_id LEFT JOIN stages s ON s.stage_uuid = d.stage WHERE d.uuid = $1`, device).
		Scan(&raw, &name, &owner.PK, &owner.Username, &owner.Email)
	if err != nil {
		return nil, fmt.Errorf("read stage of device: %w", db.Fault(err))
	}
	var set Settings
	if err := json.Unmarshal(raw, &set); err != nil {
		return nil, fmt.Errorf("read stage of device: %w", err)
	}
	if set.Attestation != attestation.Recorded && !set.Attestation.Needed() {
		return nil, nil
	}
	e := examination{service: s, settings: set, challenge: wire.AttestationChallenge(device.String(), token)}
	for _, use := range []wire.Use{wire.UsePossession, wire.UseVerification} {
		if k, ok := keys[use]; ok {
			e.keys = append(e.keys, attestation.Key{Name: string(use), Public: k.Public(), Thumbprint: k.Thumbprint})
		}
	}
	found, refusal, err := e.all(ctx, in)
	if err != nil || refusal == nil || !set.Attestation.Needed() {
		return found, err
	}
	err = s.Events.Emit(ctx, s.Pool, event.Event{
		Action: actionRefused, App: app, User: &owner,
		Context: map[string]any{"device": deviceRef(device, name), "reason": refusal.Code, "message": refusal.Text, "attestation": found},
	})
	return nil, errors.Join(fault.Field("keys.attestation", refusal.Code, refusal.Text).Wrap(refusal), err)
}

// actionRefused is the event of a phone that was not taken for what its maker says, or does not say, of its keys.
const actionRefused event.Action = "custom_mobile_attestation_refused"

// examination is of one enrolment.
type examination struct {
	service   *Service
	settings  Settings
	challenge []byte
	keys      []attestation.Key
}

// all examines each attestation that came, and whether all keys are covered that are to be. A refusal is noted in its finding.
func (e examination) all(ctx context.Context, in *wire.EnrollmentKeys) (findings, *attestation.Refusal, error) {
	var found findings
	var first *attestation.Refusal
	if in == nil {
		in = &wire.EnrollmentKeys{}
	}
	for _, a := range []*wire.Attestation{in.Attestation, in.VerificationAttestation} {
		if a == nil {
			continue
		}
		f, err := e.one(ctx, a)
		var refusal *attestation.Refusal
		switch {
		case errors.As(err, &refusal):
			f.Problem = refusal.Code
		case err != nil:
			return nil, nil, err
		}
		found = append(found, f)
		if first == nil {
			first = refusal
		}
	}
	if first == nil {
		first = e.uncovered(found)
	}
	return found, first, nil
}

// uncovered is the refusal of keys that no attestation is about although they can approve.
func (e examination) uncovered(found findings) *attestation.Refusal {
	for _, k := range e.keys {
		if k.Name == string(wire.UsePossession) && e.settings.Accepted == AcceptVerified {
			continue // it can say no, and nothing else
		}
		if !slices.ContainsFunc(found, func(f attestation.Finding) bool { return f.Format == wire.AppAttest || f.Key == k.Name }) {
			return &attestation.Refusal{Code: "required", Text: "Only phones that prove where each of their keys is kept may be added here. Update the app."}
		}
	}
	if len(e.keys) == 0 {
		return &attestation.Refusal{Code: "required", Text: "Only phones that prove where their keys are kept may be added here."}
	}
	return nil
}

// one checks one attestation. Errors: *attestation.Refusal.
func (e examination) one(ctx context.Context, a *wire.Attestation) (attestation.Finding, error) {
	s := e.service
	chain, object, err := a.Decode()
	if err != nil {
		return attestation.Finding{}, err // its form was checked before
	}
	v := attestation.Verifier{AndroidRoots: s.Evidence.AndroidRoots, AppleRoots: s.Evidence.AppleRoots, Now: s.Now}
	var f attestation.Finding
	if a.Format == wire.AppAttest {
		f, err = v.AppAttest(object, e.challenge, e.keys, e.settings.AppleApps)
	} else {
		f, err = v.AndroidKey(chain, e.challenge, e.keys)
		if err == nil {
			err = s.checkRevoked(ctx, f.Serials, e.settings.Attestation.Needed())
		}
	}
	if err != nil {
		return f, err
	}
	return f, attestation.Policy{
		Demand: e.settings.Attestation, MinPatch: e.settings.MinPatch, Apps: e.settings.AndroidApps, UserAuth: string(wire.UseVerification),
	}.Check(f)
}

// checkRevoked looks serial numbers up in the list. Errors: *attestation.Refusal; Unavailable if the list is needed, and
// there is to be one that never came.
func (s *Service) checkRevoked(ctx context.Context, serials []string, needed bool) error {
	var why *string
	var loaded bool
	err := s.Pool.QueryRow(ctx, `SELECT (SELECT reason FROM mobile_attestation_revoked WHERE serial = ANY($1) LIMIT 1),
		EXISTS (SELECT FROM mobile_attestation_status)`, serials).Scan(&why, &loaded)
	switch {
	case err != nil:
		return fmt.Errorf("look for revoked keys: %w", db.Fault(err))
	case why != nil:
		return attestation.RevokedError(*why)
	case needed && !loaded && (s.Evidence.StatusFile != "" || s.Evidence.StatusURL != ""):
		return fault.New(fault.Unavailable, "revocation", "The list of revoked phones is not here yet. Try again in some minutes.")
	}
	return nil
}

// RefreshRevoked reads the list of revoked keys from its URL or file and stores it for all nodes. It is a job for the start
// and for once an hour; several at once take turns. Errors: the list cannot be had, or is none; the one before stays.
func (s *Service) RefreshRevoked(ctx context.Context) error {
	if s.Evidence.StatusFile == "" && s.Evidence.StatusURL == "" {
		return nil
	}
	list, failed := s.Evidence.revoked(ctx)
	if list == nil {
		return failed
	}
	serials, reasons := make([]string, 0, len(list)), make([]string, 0, len(list))
	for serial, why := range list {
		serials, reasons = append(serials, serial), append(reasons, clip(why, maxReason))
	}
	err := db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		batch := &pgx.Batch{}
		batch.Queue(`INSERT INTO mobile_attestation_status (loaded) VALUES ($1) ON CONFLICT (one) DO UPDATE SET loaded = excluded.loaded`, s.Now()) // and locks
		batch.Queue(`DELETE FROM mobile_attestation_revoked WHERE NOT serial IN (SELECT unnest($1::text[]))`, serials)
		batch.Queue(`INSERT INTO mobile_attestation_revoked AS r (serial, reason) SELECT * FROM unnest($1::text[], $2::text[])
			ON CONFLICT (serial) DO UPDATE SET reason = excluded.reason WHERE r.reason <> excluded.reason`, serials, reasons)
		return db.Fault(tx.SendBatch(ctx, batch).Close())
	})
	if err != nil {
		return fmt.Errorf("store revoked keys: %w", err)
	}
	return failed
}

// maxReason is the length of a reason that is kept, in characters.
const maxReason = 200

// revoked gets the list, from the URL if it can. A list and an error: it came from the file since the URL failed.
func (e Evidence) revoked(ctx context.Context) (list attestation.Revoked, failed error) {
	if e.StatusURL != "" {
		if list, failed = e.download(ctx); failed == nil {
			return list, nil
		}
		failed = fmt.Errorf("get list of revoked keys: %w", failed)
	}
	if e.StatusFile == "" {
		return nil, failed
	}
	f, err := os.Open(e.StatusFile)
	if err != nil {
		return nil, errors.Join(failed, fmt.Errorf("get list of revoked keys: %w", err))
	}
	defer func() { _ = f.Close() }()
	list, err = attestation.ParseStatus(f)
	return list, errors.Join(failed, err)
}

func (e Evidence) download(ctx context.Context) (attestation.Revoked, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.StatusURL, nil)
	if err != nil {
		return nil, err
	}
	resp, err := e.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 4<<10))
		return nil, fmt.Errorf("the answer was %s", resp.Status)
	}
	return attestation.ParseStatus(resp.Body)
}

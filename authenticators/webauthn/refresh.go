package webauthn

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-webauthn/webauthn/metadata"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/db"
)

//go:embed names.json
var namesJSON []byte

// names are the makes that this build knows without metadata.
func names() (map[uuid.UUID]string, error) {
	var out map[uuid.UUID]string
	if err := json.Unmarshal(namesJSON, &out); err != nil {
		return nil, fmt.Errorf("read names of authenticators: %w", err)
	}
	return out, nil
}

// Refresh brings the device types up to date: with the names of this build, and with the metadata of the file or URL, if
// there is one and it is newer than what the installation has. It is a job for the start and for once a day; several at
// once take turns, and one that finds nothing new writes nothing.
//
// Errors: metadata that cannot be had, is not signed as it must be, or is older than what is stored. The names are up to
// date then all the same.
func (s *Service) Refresh(ctx context.Context) error {
	blob, failed := s.source(ctx)
	var given *metadataSet
	if blob != nil {
		given, failed = s.decode(blob, s.Now())
	}
	err := db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('countersign webauthn metadata', 0))`); err != nil {
			return fmt.Errorf("lock metadata: %w", db.Fault(err))
		}
		stored, err := s.metadata(ctx, tx)
		if errors.Is(err, errStored) && given != nil {
			s.Log.ErrorContext(ctx, "the stored metadata is replaced", "error", err)
		} else if err != nil {
			return err
		}
		set := stored
		switch {
		case given == nil:
		case stored != nil && given.number < stored.number:
			failed = fmt.Errorf("the metadata with the number %d is older than the stored one, %d", given.number, stored.number)
		case stored == nil || given.number > stored.number:
			set = given
			_, err := tx.Exec(ctx, `INSERT INTO webauthn_metadata (number, blob, loaded) VALUES ($1, $2, $3)
				ON CONFLICT (one) DO UPDATE SET number = excluded.number, blob = excluded.blob, loaded = excluded.loaded`,
				given.number, blob, s.Now())
			if err != nil {
				return fmt.Errorf("store metadata: %w", db.Fault(err))
			}
			s.Log.InfoContext(ctx, "metadata of authenticators stored", "number", set.number, "makes", len(set.entries), "unreadable", set.skipped)
		}
		if set != nil && !set.next.IsZero() && s.Now().After(set.next.AddDate(0, 1, 0)) {
			s.Log.WarnContext(ctx, "the metadata of authenticators is old", "number", set.number, "next", set.next)
		}
		if err := storeTypes(ctx, tx, set); err != nil {
			return err
		}
		return attest(ctx, tx, set)
	})
	if err != nil {
		return err
	}
	return failed
}

// storeTypes writes what changed of the makes that are known by name or metadata.
func storeTypes(ctx context.Context, tx pgx.Tx, set *metadataSet) error {
	all, err := names()
	if err != nil {
		return err
	}
	if set != nil {
		for id, e := range set.entries {
			if d := e.MetadataStatement.Description; d != "" {
				all[id] = d
			}
		}
	}
	var ids []uuid.UUID
	var descriptions []string
	var attests, revoked []bool
	for id, description := range all {
		var e *metadata.Entry
		if set != nil {
			e = set.entries[id]
		}
		ids, descriptions = append(ids, id), append(descriptions, description)
		attests = append(attests, e != nil && e.MetadataStatement.AttestationTypes.HasCertificateTrustPath())
		revoked = append(revoked, e != nil &&
			metadata.ValidateStatusReports(e.StatusReports, nil, metadata.DefaultUndesiredAuthenticatorStatuses()) != nil)
	}
	_, err = tx.Exec(ctx, `INSERT INTO webauthn_device_types AS t (aaguid, description, attests, revoked)
		SELECT * FROM unnest($1::uuid[], $2::text[], $3::boolean[], $4::boolean[])
		ON CONFLICT (aaguid) DO UPDATE SET description = excluded.description, attests = excluded.attests, revoked = excluded.revoked
		WHERE (t.description, t.attests, t.revoked) IS DISTINCT FROM (excluded.description, excluded.attests, excluded.revoked)`,
		ids, descriptions, attests, revoked)
	if err != nil {
		return fmt.Errorf("store device types: %w", db.Fault(err))
	}
	return nil
}

// attest looks again at devices that were registered before the metadata of their make was here.
func attest(ctx context.Context, tx pgx.Tx, set *metadataSet) error {
	if set == nil {
		return nil
	}
	rows, err := tx.Query(ctx, `SELECT d.id, d.attestation FROM webauthn_devices d JOIN webauthn_device_types t USING (aaguid)
		WHERE NOT d.attested AND t.attests AND d.attestation->>'format' <> 'none' FOR UPDATE OF d`)
	if err != nil {
		return fmt.Errorf("look for unproved devices: %w", db.Fault(err))
	}
	var proved []int
	var id int
	var a attestation
	_, err = pgx.ForEachRow(rows, []any{&id, &a}, func() error {
		if a.proves(set) {
			proved = append(proved, id)
		}
		a = attestation{}
		return nil
	})
	if err != nil {
		return fmt.Errorf("look for unproved devices: %w", db.Fault(err))
	}
	if len(proved) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, `UPDATE webauthn_devices SET attested = true WHERE id = ANY($1)`, proved); err != nil {
		return fmt.Errorf("note proved devices: %w", db.Fault(err))
	}
	return nil
}

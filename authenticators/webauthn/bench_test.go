package webauthn

import (
	"encoding/json"
	"syscall"
	"testing"
	"time"
)

// Checking one signature, without the database: cpu-ns/op, which other work on the machine does not lengthen, is one
// core's time for it.
func BenchmarkVerify(b *testing.B) {
	now := time.Now()
	for _, v := range readVectors(b).Vectors {
		name := map[string]string{"16.3": "ES256", "16.8": "ES384", "16.10": "RS256", "16.11": "EdDSA"}[v.Section]
		if name == "" {
			continue
		}
		b.Run(name, func(b *testing.B) {
			p, err := parseCreation(v.created())
			if err != nil {
				b.Fatal(err)
			}
			data := p.Response.AttestationObject.AuthData
			d := stored{
				CredentialID: p.RawID, PublicKey: data.AttData.CredentialPublicKey, BackupEligible: data.Flags.HasBackupEligible(),
			}
			raw, q := v.asserted(), question{Challenge: encode(v.Get.Challenge), Made: now}
			at := siteOf("https://example.org/")
			before := cpu(b)
			for b.Loop() {
				a, err := parseAssertion(raw)
				if err == nil {
					_, err = asserted(at, q, "preferred", []byte("user"), d, a)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

// cpu is the time for which this process has had a processor.
func cpu(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// Checking with what it reads and durably writes, beside the same two statements alone.
func BenchmarkDurable(b *testing.B) {
	x := setup(b)
	k := x.add(x.user, setupSettings(), func(k *key) { k.count = 0 })
	ctx := b.Context()
	at := siteOf("http://" + testHost + "/")
	handle := x.service.handleOf(x.user.ID)
	q := question{Challenge: encode(make([]byte, 32)), Made: x.Clock.Now()}
	options := object{"challenge": q.Challenge, "rpId": testHost}
	b.Run("verified", func(b *testing.B) {
		raws := make([]json.RawMessage, b.N)
		for i := range raws {
			raws[i], _ = json.Marshal(k.get(options))
		}
		b.ResetTimer()
		for _, raw := range raws {
			p, err := parseAssertion(raw)
			if err != nil {
				b.Fatal(err)
			}
			d, err := deviceBy(ctx, x.Pool, p.RawID)
			if err != nil || d == nil {
				b.Fatal(err)
			}
			after, err := asserted(at, q, "preferred", handle, *d, p)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := x.Pool.Exec(ctx, moveCounter, d.ID, d.SignCount, after.SignCount, after.BackupState, x.Clock.Now()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("pgx", func(b *testing.B) {
		for b.Loop() {
			var id, userID int
			var count int64
			var credential, public []byte
			err := x.Pool.QueryRow(ctx, `SELECT id, user_id, credential_id, public_key, sign_count FROM webauthn_devices WHERE credential_id = $1`, k.id).
				Scan(&id, &userID, &credential, &public, &count)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := x.Pool.Exec(ctx, `UPDATE webauthn_devices SET sign_count = $3, last_used = $4 WHERE id = $1 AND sign_count = $2`,
				id, count, count+1, x.Clock.Now()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

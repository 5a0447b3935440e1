package webauthn

import (
	"syscall"
	"testing"
	"time"

	"countersign/authenticators"
	"countersign/authenticators/authtest"
	"countersign/flows/flowtest"
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

// One sign-in with a passkey, beside the same statements alone.
func BenchmarkDurable(b *testing.B) {
	var bench *flowtest.Bench
	counter := 0
	authtest.Verify(b, suite(func(made *flowtest.Bench) { bench = made }), time.Second, func(n int, d authenticators.Device) (authtest.Statement, []authtest.Statement) {
		if n == 0 {
			counter = bench.Count(b, `SELECT sign_count FROM webauthn_devices WHERE id = $1`, d.PK)
		}
		return authtest.Statement{SQL: selectStored + `WHERE d.user_id = $1 AND d.confirmed`, Args: []any{d.UserID}},
			[]authtest.Statement{{SQL: moveCounter, Args: []any{d.PK, counter + n, counter + n + 1, false, time.Now()}}}
	})
}

package sms

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"countersign/authenticators"
	"countersign/authenticators/authtest"
	"countersign/flows/flowtest"
)

// The answer with a code that was sent; its sending is not measured.
func BenchmarkVerify(b *testing.B) {
	var bench *flowtest.Bench
	authtest.Verify(b, suite(func(made *flowtest.Bench) { bench = made }), time.Second, func(_ int, d authenticators.Device) (authtest.Statement, []authtest.Statement) {
		var code uuid.UUID
		err := bench.Direct.QueryRow(b.Context(), `SELECT code_uuid FROM sms_codes WHERE user_id = $1 AND used IS NULL ORDER BY created DESC LIMIT 1`, d.UserID).Scan(&code)
		if err != nil {
			b.Fatal(err)
		}
		now := bench.Clock.Now()
		return authtest.Statement{SQL: `SELECT code_hash, failures FROM sms_codes WHERE code_uuid = $1 AND used IS NULL AND expires > $2`, Args: []any{code, now}},
			[]authtest.Statement{
				{SQL: `WITH w AS (UPDATE sms_codes SET used = $3 WHERE code_uuid = $1 AND used IS NULL AND failures = $2 AND expires > $3 RETURNING 1)
					SELECT require_one(count(*)) FROM w`, Args: []any{code, 0, now}},
				{SQL: `UPDATE sms_devices SET last_used = $2 WHERE id = $1`, Args: []any{d.PK, now}},
			}
	})
}

package totp_test

import (
	"strconv"
	"testing"
	"time"

	"countersign/authenticators"
	"countersign/authenticators/authtest"
	"countersign/authenticators/totp"
	"countersign/flows/flowtest"
)

func BenchmarkVerify(b *testing.B) {
	suite := authtest.Suite{New: func(_ testing.TB, w *flowtest.Bench) authtest.Subject { return subject(w, totp.Six) }}
	const first = 100_000_000 // a step after the one of the set-up
	authtest.Verify(b, suite, 30*time.Second, func(n int, d authenticators.Device) (authtest.Statement, []authtest.Statement) {
		id, _ := strconv.Atoi(d.UID)
		return authtest.Statement{SQL: `SELECT digits, key_sealed, last_step, throttle, version FROM totp_devices
				WHERE id = $1 AND user_id = $2 AND confirmed`, Args: []any{id, d.UserID}},
			[]authtest.Statement{{SQL: totp.GrantSQL, Args: []any{id, n, first + n, map[string]any{}, time.Now()}}}
	})
}

// A code without its writes: three HMACs and three comparisons.
func BenchmarkMatch(b *testing.B) {
	seed := []byte("12345678901234567890")
	b.ReportAllocs()
	for b.Loop() {
		totp.Match(seed, time.Unix(1234567890, 0), -1, 6, "123456")
	}
}

package static_test

import (
	"strconv"
	"testing"
	"time"

	"countersign/authenticators"
	"countersign/authenticators/authtest"
	"countersign/authenticators/static"
)

// The codes of a list do not last for a benchmark: they come back after each use.
func BenchmarkVerify(b *testing.B) {
	authtest.Verify(b, suite(true), time.Second, func(n int, d authenticators.Device) (authtest.Statement, []authtest.Statement) {
		id, _ := strconv.Atoi(d.UID)
		return authtest.Statement{SQL: `SELECT key_sealed, code_length, throttle, version, ARRAY(SELECT code_hash FROM static_codes WHERE device = d.id)
				FROM static_devices d WHERE id = $1 AND user_id = $2 AND confirmed`, Args: []any{id, d.UserID}},
			[]authtest.Statement{
				{SQL: static.UpdateSQL, Args: []any{id, n, map[string]any{}, time.Now()}},
				{SQL: `DELETE FROM static_codes WHERE device = $1
					AND code_hash = (SELECT code_hash FROM static_codes WHERE device = $1 LIMIT 1)`, Args: []any{id}},
			}
	})
}

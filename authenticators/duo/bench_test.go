package duo

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"countersign/authenticators"
	"countersign/authenticators/authtest"
)

// A push and its answer, with a Duo on this machine that answers at once: most of it is its two calls, which plain pgx does
// not make.
func BenchmarkVerify(b *testing.B) {
	authtest.Verify(b, suite(), time.Minute, func(_ int, d authenticators.Device) (authtest.Statement, []authtest.Statement) {
		id, now := uuid.New(), time.Now()
		return authtest.Statement{SQL: `SELECT user_id, stage, duo_user_id FROM duo_devices WHERE id = $1 AND confirmed`, Args: []any{d.PK}},
			[]authtest.Statement{
				{SQL: `INSERT INTO duo_pushes (push_uuid, device, source, created) VALUES ($1, $2, $3, $4)`, Args: []any{id, d.PK, "", now}},
				{SQL: `UPDATE duo_pushes SET result = 'allow' WHERE push_uuid = $1`, Args: []any{id}},
				{SQL: `UPDATE duo_devices SET last_used = $2 WHERE id = $1`, Args: []any{d.PK, now}},
			}
	})
}

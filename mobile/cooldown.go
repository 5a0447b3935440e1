package mobile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/db"
	"countersign/core/duration"
	"countersign/core/fault"
)

// maxTime is the longest overlap and the longest cool-down.
const maxTime = 30 * 24 * time.Hour

// checkTimes checks the durations of a stage.
func (s Settings) checkTimes() error {
	fields := fault.Fields{}
	for name, value := range map[string]string{"transfer_overlap": s.Overlap, "cooldown": s.Cooldown} {
		d, err := duration.Parse(value)
		switch {
		case value == "": // as in a stage that is older than the setting: the default
		case err != nil:
			fields.Add(name, "invalid", err.Error())
		case d < 0 || d > maxTime:
			fields.Add(name, "invalid", "Must be between nothing and 30 days.")
		}
	}
	return fields.Err()
}

// settingOf reads a duration of a stage; what is missing or bad is the default.
func settingOf(text *string, otherwise time.Duration) time.Duration {
	if text == nil {
		return otherwise
	}
	if d, err := duration.Parse(*text); err == nil {
		return d
	}
	return otherwise
}

// cooling tells how long a device is not to be asked for what only its owner may approve, since it has lately told new keys or
// another push address: whoever did that has to be patient, and the owner got a mail (push.md T17). 0: it may be asked.
func (s *Service) cooling(ctx context.Context, q db.Querier, device uuid.UUID) (time.Duration, error) {
	var changed *time.Time
	var cooldown *string
	var demanded Accepted
	err := q.QueryRow(ctx, `SELECT d.changed, s.settings->>'cooldown', `+acceptedSQL+` FROM mobile_devices d LEFT JOIN stages s ON s.stage_uuid = d.stage
		WHERE d.uuid = $1`, device).Scan(&changed, &cooldown, &demanded)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read cool-down of device: %w", db.Fault(err))
	}
	if changed == nil || demanded != AcceptVerified {
		return 0, nil
	}
	return max(0, changed.Add(settingOf(cooldown, 0)).Sub(s.Now())), nil
}

package mobile

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/db"
	"countersign/core/fault"
	"countersign/core/resource"
	"countersign/mobile/wire"
)

// AnswerMode is how people answer, beyond the modes of the contract, which item_matching_mode has.
type AnswerMode string

// AnswerByItem leaves it to item_matching_mode; the others are modes of wire.
const AnswerByItem AnswerMode = "item_matching"

// Enum lists the modes.
func (AnswerMode) Enum() []string {
	out := []string{string(AnswerByItem)}
	for _, m := range wire.Modes() {
		if !m.Picks() {
			out = append(out, string(m))
		}
	}
	return out
}

// SchemaName is the component's name.
func (AnswerMode) SchemaName() string { return "PhoneAnswerModeEnum" }

// defaultAttempts is how many wrong numbers end a question where people type (push.md T3).
const defaultAttempts = 3

// mode is how the phones of the stage are asked.
func (s Settings) mode() wire.Mode {
	if s.Answer != "" && s.Answer != AnswerByItem {
		return wire.Mode(s.Answer)
	}
	return s.Mode
}

// attempts is how many wrong answers end a question.
func (s Settings) attempts() int {
	switch {
	case s.mode().Picks():
		return 1
	case s.TypedAttempts > 0:
		return s.TypedAttempts
	}
	return defaultAttempts
}

// checkRow holds a stage's settings against each other.
func (s *Service) checkRow(_ context.Context, _ pgx.Tx, c *resource.Change[Row]) error {
	fields := fault.Fields{}
	s.checkDemand(&c.Row.Settings, fields)
	for _, check := range []func() error{fields.Err, c.Row.checkTimes, c.Row.checkAssurance, c.Row.checkReports} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// unable is what the person is told whose app cannot be asked in the mode of its stage.
const unable = "The app on this phone cannot be asked in the way that is demanded here. Update the app and open it, or use another way."

// mayEnrol refuses an app that could not be asked in the mode of its device's stage. Error: Invalid about info.others.
func (s *Service) mayEnrol(ctx context.Context, device uuid.UUID, i wire.Info) error {
	if i.CanFetch() {
		return nil
	}
	var settings Settings
	err := s.Pool.QueryRow(ctx, `SELECT coalesce(s.settings, '{}') FROM mobile_devices d LEFT JOIN stages s ON s.stage_uuid = d.stage WHERE d.uuid = $1`, device).
		Scan(&settings)
	if err != nil {
		return fmt.Errorf("read stage of device: %w", db.Fault(err))
	}
	if m := settings.mode(); m != "" && !m.Picks() {
		return fault.Field("info.others", "unsupported", "Only apps that can have numbers typed, or show codes, may be added here. Update the app.")
	}
	return nil
}

package sms

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/secret"
)

const (
	app   = "authentik_stages_authenticator_sms"
	model = "smsdevice"
	// retention is how long codes are kept after their time: long enough to know a user's own addresses.
	retention = 30 * 24 * time.Hour
)

// Options are what a Service needs. Transport, TwilioURL, SendTimeout, Limits, Random and Now have defaults.
type Options struct {
	Pool        *pgxpool.Pool
	Keeper      *secret.Keeper
	Events      *event.Log
	Transport   http.RoundTripper // to the providers
	TwilioURL   string            // default https://api.twilio.com
	SendTimeout time.Duration     // default, and at most, SendTimeout
	Limits      Limits
	Random      io.Reader
	Now         func() time.Time
}

// Service is the server side of the text messages. It is safe for concurrent use.
type Service struct {
	Options
	client    *http.Client
	sending   chan struct{} // as many as are on their way
	codeKey   []byte
	numberKey []byte
}

// New makes a service.
func New(o Options) *Service {
	if o.TwilioURL == "" {
		o.TwilioURL = twilioURL
	}
	if o.SendTimeout <= 0 || o.SendTimeout > SendTimeout {
		o.SendTimeout = SendTimeout
	}
	o.Limits = o.Limits.orDefault()
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Service{
		Options: o, client: newClient(o.Transport), sending: make(chan struct{}, maxSends),
		codeKey: o.Keeper.Derive("codes of text messages"), numberKey: o.Keeper.Derive("telephone numbers"),
	}
}

// CleanUp deletes codes that are no longer history.
func (s *Service) CleanUp(ctx context.Context) error {
	if _, err := s.Pool.Exec(ctx, `DELETE FROM sms_codes WHERE created < $1`, s.Now().Add(-retention)); err != nil {
		return fmt.Errorf("collect codes of text messages: %w", db.Fault(err))
	}
	return nil
}

// Reseal seals what an older key sealed with the first one, in devices and in stages, and makes the hashes of the
// numbers anew. It tells how many rows it changed, and may be run again at any time. Afterwards the older key is
// needed only by codes on their way, for five minutes.
func (s *Service) Reseal(ctx context.Context) (int, error) {
	changed := 0
	err := db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		devices, err := s.resealDevices(ctx, tx)
		if err != nil {
			return err
		}
		stages, err := s.resealStages(ctx, tx)
		changed = devices + stages
		return err
	})
	return changed, err
}

func (s *Service) resealDevices(ctx context.Context, tx pgx.Tx) (int, error) {
	rows, err := tx.Query(ctx, `SELECT id, user_id, stage, phone_sealed FROM sms_devices WHERE phone_sealed IS NOT NULL ORDER BY id FOR UPDATE`)
	if err != nil {
		return 0, fmt.Errorf("read numbers: %w", db.Fault(err))
	}
	type device struct {
		ID, User int
		Stage    uuid.UUID
		Sealed   []byte
	}
	devices, err := pgx.CollectRows(rows, pgx.RowToStructByPos[device])
	if err != nil {
		return 0, fmt.Errorf("read numbers: %w", db.Fault(err))
	}
	changed := 0
	for _, d := range devices {
		if s.Keeper.Current(d.Sealed) {
			continue
		}
		number, err := s.openNumber(d.Sealed, d.User, d.Stage)
		if err != nil {
			return 0, fmt.Errorf("device %d: %w", d.ID, err)
		}
		if _, err := tx.Exec(ctx, `UPDATE sms_devices SET phone_sealed = $2, phone_hash = $3 WHERE id = $1`,
			d.ID, s.sealNumber(number, d.User, d.Stage), s.hashNumber(number)); err != nil {
			return 0, fmt.Errorf("seal number of device %d: %w", d.ID, db.Fault(err))
		}
		changed++
	}
	return changed, nil
}

func (s *Service) resealStages(ctx context.Context, tx pgx.Tx) (int, error) {
	rows, err := tx.Query(ctx, `SELECT stage_uuid, coalesce(settings->>'auth', ''), coalesce(settings->>'auth_password', '')
		FROM stages WHERE kind = $1 ORDER BY stage_uuid FOR UPDATE`, kindName)
	if err != nil {
		return 0, fmt.Errorf("read stages: %w", db.Fault(err))
	}
	type stage struct {
		ID             uuid.UUID
		Auth, Password string
	}
	stages, err := pgx.CollectRows(rows, pgx.RowToStructByPos[stage])
	if err != nil {
		return 0, fmt.Errorf("read stages: %w", db.Fault(err))
	}
	changed := 0
	for _, st := range stages {
		if s.Keeper.CurrentText(st.Auth) && s.Keeper.CurrentText(st.Password) {
			continue
		}
		a, err := open(s.Keeper, st.ID, Settings{Auth: st.Auth, AuthPassword: st.Password})
		if err != nil {
			return 0, fmt.Errorf("stage %s: %w", st.ID, err)
		}
		if _, err := tx.Exec(ctx, `UPDATE stages SET settings = settings || jsonb_build_object('auth', $2::text, 'auth_password', $3::text) WHERE stage_uuid = $1`,
			st.ID, s.Keeper.SealText(a.auth, authAAD(st.ID)), s.Keeper.SealText(a.password, passwordAAD(st.ID))); err != nil {
			return 0, fmt.Errorf("seal secrets of stage %s: %w", st.ID, db.Fault(err))
		}
		changed++
	}
	return changed, nil
}

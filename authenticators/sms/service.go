package sms

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"time"

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
	client  *http.Client
	sending chan struct{} // as many as are on their way
	codes   *secret.MAC
	numbers *secret.MAC
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
		codes: o.Keeper.MAC("codes of text messages"), numbers: o.Keeper.MAC(sealedNumber.HashLabel),
	}
}

// CleanUp deletes codes that are no longer history.
func (s *Service) CleanUp(ctx context.Context) error {
	if _, err := s.Pool.Exec(ctx, `DELETE FROM sms_codes WHERE created < $1`, s.Now().Add(-retention)); err != nil {
		return fmt.Errorf("collect codes of text messages: %w", db.Fault(err))
	}
	return nil
}

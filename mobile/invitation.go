package mobile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"countersign/authenticators/throttle"
	"countersign/core/api"
	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/core/secret"
	"countersign/mobile/wire"
)

// How often codes may be tried from one network: with 50 bits a code, a thousand networks that guess for its whole life find
// one of a thousand codes with a chance below one in ten million.
const (
	codeTries  = 20
	codeWindow = 10 * time.Minute
)

// errCode is the answer to a code that is unknown, used or over: which of them is nobody's to know.
var errCode error = fault.New(fault.NotFound, "not_found", "This code is unknown, was used, or is over. Have the page show a new one.")

// The events of codes.
const (
	actionOpened    event.Action = "custom_mobile_enrolment_opened"
	actionContested event.Action = "custom_mobile_enrolment_contested"
)

// mountCodes adds the exchange of codes.
func (s *Service) mountCodes(a *api.API) {
	api.Handle(a, api.Operation{
		Method: "POST", Path: "/authenticators/mobile/redeem/", Tag: "authenticators", ID: "authenticators_mobile_redeem_create",
		Description: "Exchange the code of an enrolment, once, for what its QR code holds.",
		Access:      api.Open, Security: []string{}, BodyLimit: wire.MaxBodyBytes, NotFound: true,
	}, s.exchange)
}

// exchange takes a code for a token that is made now. From then on the one of the QR code is worth nothing, so that whoever
// redeems is the only one who can enrol. Errors: Invalid for what is no code, NotFound, Throttled.
func (s *Service) exchange(ctx context.Context, r *api.Request, in wire.Redeem) (wire.Payload, error) {
	code, err := wire.ParseCode(in.Code)
	if err != nil {
		return wire.Payload{}, fault.Field("code", "invalid", "A code has ten letters and digits, as in 7KQ2-M9XW-4C.").Wrap(err)
	}
	source := throttle.Source(r.IP())
	if err := s.countTry(ctx, source); err != nil {
		return wire.Payload{}, err
	}
	hashes := s.codes.Sums([]byte(code))
	reply := wire.Payload{URL: r.BaseURL(), Token: secret.Token(tokenLength)}
	var e enrollment
	err = db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		e = enrollment{}
		var expires time.Time
		err := tx.QueryRow(ctx, `UPDATE mobile_enrollments e SET redeemed = $2 FROM mobile_devices d JOIN users u ON u.id = d.user_id
			WHERE e.code_hash = ANY($1) AND e.redeemed IS NULL AND e.fingerprint IS NULL AND e.expires > $2
				AND d.uuid = e.device AND NOT d.confirmed AND u.is_active
			RETURNING d.uuid, d.name, e.browser_node, u.id, u.username, u.email, e.expires`, hashes, s.Now()).
			Scan(&e.device, &e.name, &e.browserNode, &e.owner.PK, &e.owner.Username, &e.owner.Email, &expires)
		if errors.Is(err, pgx.ErrNoRows) {
			return s.contest(ctx, tx, &e, hashes)
		}
		if err != nil {
			return fmt.Errorf("redeem code: %w", db.Fault(err))
		}
		if _, err := tx.Exec(ctx, `DELETE FROM mobile_tokens WHERE device = $1`, e.device); err != nil {
			return fmt.Errorf("redeem code: %w", db.Fault(err))
		}
		if err := issue(ctx, tx, e.device, reply.Token, purposeEnrollment, &expires); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE mobile_code_tries SET tries = tries - 1 WHERE source = $1 AND tries > 0`, source); err != nil {
			return fmt.Errorf("redeem code: %w", db.Fault(err))
		}
		reply.Device = e.device.String()
		return s.Events.Emit(ctx, tx, e.event(actionOpened, "A phone opened the link to enrol."))
	})
	if err != nil {
		return wire.Payload{}, err
	}
	s.wakeEnrollment(&e)
	if reply.Device == "" {
		return wire.Payload{}, errCode
	}
	return reply, nil
}

// contest marks an enrolment whose code comes a second time: two phones have seen it, and its page warns the person. e stays
// empty if there is none.
func (s *Service) contest(ctx context.Context, tx pgx.Tx, e *enrollment, hashes [][]byte) error {
	err := tx.QueryRow(ctx, `UPDATE mobile_enrollments e SET contested = $2 FROM mobile_devices d JOIN users u ON u.id = d.user_id
		WHERE e.code_hash = ANY($1) AND (e.redeemed IS NOT NULL OR e.fingerprint IS NOT NULL) AND e.contested IS NULL AND e.expires > $2 AND d.uuid = e.device
		RETURNING d.uuid, d.name, e.browser_node, u.id, u.username, u.email`, hashes, s.Now()).
		Scan(&e.device, &e.name, &e.browserNode, &e.owner.PK, &e.owner.Username, &e.owner.Email)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("redeem code: %w", db.Fault(err))
	}
	return s.Events.Emit(ctx, tx, e.event(actionContested, "The code to enrol a phone was tried again after its use."))
}

// countTry counts a code that comes from a network before it is looked at, so that tries in parallel count as well; a right
// one is taken back. Errors: Throttled.
func (s *Service) countTry(ctx context.Context, source string) error {
	now := s.Now()
	var tries int
	var since time.Time
	err := s.Pool.QueryRow(ctx, `INSERT INTO mobile_code_tries AS t (source, tries, since) VALUES ($1, 1, $2)
		ON CONFLICT (source) DO UPDATE SET tries = CASE WHEN t.since > $3 THEN least(t.tries, $4) + 1 ELSE 1 END, since = CASE WHEN t.since > $3 THEN t.since ELSE $2 END
		RETURNING tries, since`, source, now, now.Add(-codeWindow), codeTries+1).Scan(&tries, &since)
	if err != nil {
		return fmt.Errorf("count tries: %w", db.Fault(err))
	}
	if tries <= codeTries {
		return nil
	}
	wait := min(since.Add(codeWindow).Sub(now), codeWindow)
	if tries == codeTries+1 {
		err := s.Events.Emit(ctx, s.Pool, event.Event{Action: event.SuspiciousRequest, App: app, Context: map[string]any{
			"message": "Too many codes to enrol a phone were wrong.", "source": source,
		}})
		if err != nil {
			return err
		}
	}
	f := fault.New(fault.Throttled, "throttled", "Too many codes were wrong. Try again in "+throttle.Pause(wait)+".")
	f.RetryAfter = wait
	return f
}

// newCode draws a code; the hash is what is stored of it.
func (s *Service) newCode() (code string, hash []byte, err error) {
	if code, err = wire.NewCode(s.Random); err != nil {
		return "", nil, fmt.Errorf("draw code: %w", err)
	}
	return code, s.codes.Sum([]byte(code)), nil
}

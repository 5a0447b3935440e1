package mobile

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/api"
	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/core/secret"
	"countersign/mobile/wire"
)

// scheme is the security scheme of the device operations in the document.
const scheme = "mobile_device_token"

// Scheme is the security scheme of the device operations, for the API's options.
func Scheme() api.Scheme {
	return api.Scheme{Name: scheme, Description: "The token that a phone got when it enrolled."}
}

// statusHold is the longest that enrollment_status is held when the caller asks to wait.
const statusHold = 25 * time.Second

// maxName is the length of a device's name, in characters (core.md §5).
const maxName = 64

// Mount adds the operations that phones call.
func (s *Service) Mount(a *api.API) {
	op := func(method, action, description string) api.Operation {
		o := api.Operation{
			Method: method, Path: "/authenticators/mobile/{uuid}/" + action + "/", Tag: "authenticators",
			Description: description, Access: api.Open, Security: []string{scheme}, BodyLimit: wire.MaxBodyBytes,
			Params: []api.Parameter{{Name: "uuid", Format: "uuid", Description: "A UUID string identifying this Mobile Device."}},
			Guard: func(ctx context.Context, r *api.Request) error {
				_, err := s.identify(ctx, r, false, purposeDevice)
				return err
			},
		}
		return o
	}
	mountAssurance(a)
	enrol := op("POST", wire.ActionEnrol, "Enrollment callback")
	enrol.Guard = func(ctx context.Context, r *api.Request) error {
		_, err := s.identify(ctx, r, false, purposeEnrollment)
		return err
	}
	api.Handle(a, enrol, s.enrol)
	status := op("POST", wire.ActionStatus, "Check enrollment status")
	status.Query = []api.Parameter{
		{Name: "wait", Type: "integer", Description: "Seconds to hold the answer while the status is waiting, at most 25."},
		{Name: "progress", Description: "With wait: hold the answer only while the progress is this."},
	}
	api.Handle(a, status, s.enrolmentStatus)
	api.Handle(a, op("POST", wire.ActionPushKey, "Called by the phone whenever the push key changes"), s.setPushKey)
	api.Handle(a, op("POST", wire.ActionCheckIn, "Check in data about a device"), s.checkIn)
	response := op("POST", wire.ActionResponse, "Get response from notification on phone")
	response.NotFound = true
	api.Handle(a, response, s.receiveResponse)
	s.mountChannels(a)
	s.mountTransfer(a, op)
	api.Handle(a, op("POST", wire.ActionRotate, "Change the keys of the phone"), s.rotateKeys)
	pending := op("GET", wire.ActionPending, "What waits for this phone's answer. For phones that say in info.others that they can fetch.")
	pending.ID = "authenticators_mobile_pending_retrieve"
	pending.Query = []api.Parameter{
		{Name: "wait", Type: "integer", Description: "Seconds to hold the answer while nothing is pending, at most 50."},
		{Name: "known", Format: "uuid", Description: "The prompt that the phone shows: with wait the answer is held while this one, alone, is pending."},
	}
	api.Handle(a, pending, s.fetch)
	displayed := op("POST", wire.ActionDisplayed, "Tell that the phone shows a prompt")
	displayed.NotFound = true
	api.Handle(a, displayed, s.display)
	api.Handle(a, op("POST", wire.ActionTicket, "A ticket for one socket, for a page, whose handshake has no headers"), s.issueTicket)
	socket := op("GET", wire.ActionSocket, "A WebSocket on which the phone hears what waits for its answer. See the guide for phone apps.")
	socket.Status = http.StatusSwitchingProtocols
	a.Raw(socket, s.connect)
	s.mountCodes(a)
}

// enrol takes a phone in by its one-time token and gives it the token that it uses from now on. A stock phone is confirmed by
// that; one with keys once its owner has compared the fingerprint.
func (s *Service) enrol(ctx context.Context, r *api.Request, in wire.Enrollment) (wire.EnrollmentCallback, error) {
	token, err := bearer(r.HTTP)
	if err != nil {
		return wire.EnrollmentCallback{}, err
	}
	c, err := s.authenticateFor(ctx, r, purposeEnrollment)
	if err != nil {
		return wire.EnrollmentCallback{}, err
	}
	device := c.device
	if err := violations(in.Validate()); err != nil {
		return wire.EnrollmentCallback{}, err
	}
	if err := s.mayEnrol(ctx, device, in.Info); err != nil {
		return wire.EnrollmentCallback{}, err
	}
	keys, proof, err := s.bring(ctx, r, in.Keys, token, device)
	if err != nil {
		return wire.EnrollmentCallback{}, err
	}
	found, err := s.attest(ctx, device, token, in.Keys, keys)
	if err != nil {
		return wire.EnrollmentCallback{}, err
	}
	reply := wire.EnrollmentCallback{Token: secret.Token(tokenLength)}
	if keys != nil {
		if reply.ServerKey, err = s.publicKey(ctx); err != nil {
			return wire.EnrollmentCallback{}, err
		}
	}
	fingerprint, err := s.fingerprint(device, token, keys, &reply)
	if err != nil {
		return wire.EnrollmentCallback{}, err
	}
	if err := s.spend(ctx, proof); err != nil {
		return wire.EnrollmentCallback{}, err
	}
	var e enrollment
	var moves *arrival
	err = db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		// Whoever deletes the one-time token is the one who enrols.
		tag, err := tx.Exec(ctx, `DELETE FROM mobile_tokens WHERE token_hash = $1 AND purpose = 'enrollment'`, hashToken(token))
		if err != nil {
			return fmt.Errorf("use enrolment token: %w", db.Fault(err))
		}
		if tag.RowsAffected() == 0 {
			return errToken
		}
		if moves, err = s.arrive(ctx, tx, device, token, reply.Salt); err != nil {
			return err
		}
		name := clip(in.Info.Hostname, maxName)
		var owner event.User
		err = tx.QueryRow(ctx, `UPDATE mobile_devices d SET confirmed = NOT $7, name = $2, device_uid = $3, info = $4, can_fetch = $5, last_checkin = $6, signs = $7
			FROM users u WHERE d.uuid = $1 AND NOT d.confirmed AND u.id = d.user_id RETURNING u.id, u.username, u.email`,
			device, name, in.DeviceUID, in.Info, in.Info.CanFetch(), s.Now(), keys != nil).Scan(&owner.PK, &owner.Username, &owner.Email)
		if err != nil {
			return enrolFault(err)
		}
		e = enrollment{device: device, name: name, owner: owner, info: &in.Info, uses: keys.uses()}
		if keys == nil {
			return s.admit(ctx, tx, &e, reply.Token)
		}
		if err := keys.keep(ctx, tx, device, found, nil); err != nil {
			return err
		}
		if err := found.keep(ctx, tx, device); err != nil {
			return err
		}
		if moves != nil {
			if err := issue(ctx, tx, device, reply.Token, purposeUnconfirmed, nil); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `UPDATE mobile_enrollments SET fingerprint = $2 WHERE device = $1`, device, fingerprint); err != nil {
				return fmt.Errorf("keep fingerprint: %w", db.Fault(err))
			}
			return s.tellTransfer(ctx, tx, owned{name, owner}, moves.old, device, "A new phone took the offer, and waits for approval.")
		}
		e.attestation = found
		return s.callIn(ctx, tx, &e, token, reply.Token, fingerprint)
	})
	if err != nil {
		return wire.EnrollmentCallback{}, err
	}
	s.wakeEnrollment(&e)
	if moves != nil && moves.node != nil {
		s.wake(*moves.node, device)
	}
	return reply, nil
}

func enrolFault(err error) error {
	f := fault.As(db.Fault(err))
	switch f.Kind {
	case fault.NotFound:
		return errToken
	case fault.Invalid:
		return fault.Field("device_uid", "unique", "This phone is enrolled already. Remove it from your account first.").Wrap(err)
	}
	return fmt.Errorf("confirm device: %w", f)
}

// enrolmentStatus tells whether the phone has called in: to the phone by either of its tokens, and to the browser
// session that started the enrolment, which has no token (core.md §4.2).
func (s *Service) enrolmentStatus(ctx context.Context, r *api.Request, _ api.None) (wire.EnrollmentStatus, error) {
	device, err := uuid.Parse(r.Param("uuid"))
	if err != nil {
		return wire.EnrollmentStatus{}, fault.Missing()
	}
	if err := s.mayAskStatus(ctx, r, device); err != nil {
		return wire.EnrollmentStatus{}, err
	}
	hold := time.Duration(0)
	if n, err := strconv.Atoi(r.Query().Get("wait")); err == nil && n > 0 {
		hold = min(time.Duration(n)*time.Second, statusHold)
	}
	phone := r.HTTP.Header.Get("Authorization") != ""
	seen := wire.Progress(r.Query().Get("progress"))
	wake, cancel := s.waiters.subscribe(device, false)
	defer cancel()
	if hold > 0 {
		if err := s.awaited(ctx, device, phone); err != nil {
			return wire.EnrollmentStatus{}, err
		}
	}
	timer := time.NewTimer(hold)
	defer timer.Stop()
	for {
		at, err := s.underway(ctx, s.Pool, device)
		switch {
		case err != nil:
			return wire.EnrollmentStatus{}, err
		case at.Progress == "":
			return wire.EnrollmentStatus{}, fault.Missing()
		case at.Progress == wire.Confirmed:
			return wire.EnrollmentStatus{Status: wire.Success, Progress: at.Progress}, nil
		case hold == 0 || seen != "" && seen != at.Progress:
			reply := wire.EnrollmentStatus{Status: wire.Waiting, Progress: at.Progress}
			if !phone {
				reply.Fingerprint = at.fingerprint
			}
			return reply, nil
		}
		select {
		case <-wake:
		case <-timer.C:
			hold = 0
		case <-ctx.Done():
			return wire.EnrollmentStatus{}, ctx.Err()
		}
	}
}

func (s *Service) setPushKey(ctx context.Context, r *api.Request, in wire.PushKey) (api.None, error) {
	c, err := s.authenticate(ctx, r)
	if err != nil {
		return api.None{}, err
	}
	if err := violations(in.Validate()); err != nil {
		return api.None{}, err
	}
	channel, address, err := s.chosen(ctx, c.device, in)
	if err != nil {
		return api.None{}, err
	}
	return api.None{}, s.touch(ctx, c.device, "The push address of the phone was set.",
		`UPDATE mobile_devices d SET push_address = $2, push_channel = $3
			FROM users u, (SELECT push_address FROM mobile_devices WHERE uuid = $1 FOR UPDATE) old WHERE d.uuid = $1 AND u.id = d.user_id
			RETURNING d.name, u.id, u.username, u.email, old.push_address IS NOT NULL AND old.push_address IS DISTINCT FROM $2`, address, channel)
}

func (s *Service) checkIn(ctx context.Context, r *api.Request, in wire.Info) (api.None, error) {
	c, err := s.authenticate(ctx, r)
	if err != nil {
		return api.None{}, err
	}
	if err := violations(in.Validate()); err != nil {
		return api.None{}, err
	}
	return api.None{}, s.touch(ctx, c.device, "The phone checked in.",
		`UPDATE mobile_devices d SET info = $2, can_fetch = $3, last_checkin = $4 FROM users u WHERE d.uuid = $1 AND u.id = d.user_id
			RETURNING d.name, u.id, u.username, u.email, false`, in, in.CanFetch(), s.Now())
}

// touch runs an UPDATE of a device, whose first parameter it is, and writes its event; the last column that it returns says
// whether pushes go elsewhere now, of which the owner gets a mail (push.md T9).
func (s *Service) touch(ctx context.Context, device uuid.UUID, what, sql string, args ...any) error {
	return db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		var name string
		var owner event.User
		var moved bool
		err := tx.QueryRow(ctx, sql, append([]any{device}, args...)...).Scan(&name, &owner.PK, &owner.Username, &owner.Email, &moved)
		if err != nil {
			return fmt.Errorf("update device: %w", db.Fault(err))
		}
		told := map[string]any{"model": deviceRef(device, name), "message": what}
		if moved {
			if _, err := tx.Exec(ctx, `UPDATE mobile_devices SET changed = $2 WHERE uuid = $1`, device, s.Now()); err != nil {
				return fmt.Errorf("update device: %w", db.Fault(err))
			}
			told[event.PushAddress] = event.Replaced
		}
		return s.Events.Emit(ctx, tx, event.Event{Action: event.ModelUpdated, App: app, User: &owner, Context: told})
	})
}

func (s *Service) receiveResponse(ctx context.Context, r *api.Request, in wire.Response) (api.None, error) {
	token, proves, err := credentials(r.HTTP)
	if err != nil {
		return api.None{}, err
	}
	if err := violations(in.Validate()); err != nil {
		// A caller without good credentials learns nothing of what it sent.
		if _, denied := s.identify(ctx, r, false, purposeDevice); denied != nil {
			return api.None{}, denied
		}
		return api.None{}, err
	}
	device, err := uuid.Parse(r.Param("uuid"))
	if err != nil {
		return api.None{}, fault.Missing()
	}
	if proves {
		return api.None{}, s.respondSigned(ctx, r, token, device, in)
	}
	return api.None{}, s.decide(ctx, token, device, in, byToken)
}

// mayAskStatus lets in the phone, by either token, and the browser session that started the enrolment.
func (s *Service) mayAskStatus(ctx context.Context, r *api.Request, device uuid.UUID) error {
	if r.HTTP.Header.Get("Authorization") != "" {
		_, err := s.authenticateFor(ctx, r, purposeEnrollment, purposeUnconfirmed, purposeDevice)
		return err
	}
	sess, err := s.Sessions.Load(ctx, r.HTTP)
	if err != nil {
		return err
	}
	if sess == nil {
		return api.Unauthenticated()
	}
	var own bool
	err = s.Pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM mobile_devices WHERE uuid = $1 AND enrollment_session = $2)`, device, sess.UUID).Scan(&own)
	if err != nil {
		return fmt.Errorf("read device: %w", db.Fault(err))
	}
	if !own {
		return fault.Missing()
	}
	return nil
}

// violations makes what wire finds wrong a 400.
func violations(all []wire.Violation) error {
	fields := fault.Fields{}
	for _, v := range all {
		fields.Add(v.Field, v.Code, v.Text)
	}
	return fields.Err()
}

func clip(s string, limit int) string {
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	return string([]rune(s)[:limit])
}

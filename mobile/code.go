package mobile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/authenticators"
	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/flows"
	"countersign/mobile/wire"
)

// learn notes what the browser does not know yet of a prompt that still waits, and says it in the words of an error; nil:
// nothing.
func (q *question) learn(p *progress) fault.Fields {
	if p == nil || q.Mode.Picks() {
		return nil
	}
	tried, approved := p.left < q.Left, p.approved && !q.Approved
	q.Left, q.Approved = p.left, p.approved
	switch {
	case tried && q.Mode.Types():
		return failure(wire.WrongNumber, "A wrong number was typed on the phone. "+leftText(p.left))
	case tried || approved:
		return failure("waiting", "Waiting for push answer")
	}
	return nil
}

// TakesCode tells whether the person types in the browser what the phone shows.
func (m method) TakesCode(o *authenticators.Offer) (bool, error) {
	var q question
	_, err := o.Kept(&q)
	return q.Mode.Shows(), err
}

// codeSQL takes a code for a prompt that waits for one. It is the browser's counterpart of answerSQL: each wrong code takes one
// of the attempts, and the right one accepts the prompt if the phone has approved it.
const codeSQL = `UPDATE mobile_transactions SET carried = $2 = correct,
		status = CASE WHEN $2 = correct AND approved THEN 'accept' WHEN $2 = correct OR attempts_left > 1 THEN 'wait' ELSE 'wrong' END,
		attempts_left = attempts_left - CASE WHEN $2 = correct THEN 0 ELSE 1 END
	WHERE tx_id = $1 AND status = 'wait' AND NOT carried AND expires > $3
	RETURNING status, node, carried, attempts_left, (SELECT listening_node FROM mobile_devices d WHERE d.uuid = device)`

// The events of a code that was typed in the browser: the right one, and a wrong one while there are attempts left.
const (
	actionCode      event.Action = "custom_mobile_code_typed"
	actionWrongCode event.Action = "custom_mobile_wrong_code"
)

// AnswerCode takes the code that the phone shows and that the person typed in the browser. It counts in the transaction
// that commits the answer, so that an answer which is tried again counts once. The right one goes on as Answer does: the phone
// has to have approved as well, before or after.
func (m method) AnswerCode(ctx context.Context, run *flows.Run, o *authenticators.Offer, value json.RawMessage) (flows.Outcome, error) {
	var q question
	if _, err := o.Kept(&q); err != nil {
		return flows.Outcome{}, err
	}
	if run.Resumed { // it was taken before the wait
		return m.Answer(ctx, run, o, nil)
	}
	if q.Tx == nil {
		return flows.Soft(codeFailure("invalid", "Choose the phone first: it has not been asked for a code.")), nil
	}
	var code string
	if json.Unmarshal(value, &code) != nil || !q.Mode.Fits(strings.TrimSpace(code)) {
		return flows.Soft(codeFailure("invalid", fmt.Sprintf("Type the %d digits that your phone shows.", q.Mode.Digits()))), nil //nolint:nilerr // the person is told
	}
	p, status, err := m.s.takeCode(ctx, run, o, *q.Tx, strings.TrimSpace(code))
	if err != nil {
		return flows.Outcome{}, err
	}
	if p == nil || p.carried || status != statusWait { // nothing to count, right, or over
		return m.Answer(ctx, run, o, nil)
	}
	q.Left = p.left
	return flows.Stay(codeFailure(wire.WrongNumber, wrongCode(p.left))), o.Keep(q)
}

// takeCode counts a code. nil: the prompt does not wait for one, as it has it already, or is over.
func (s *Service) takeCode(ctx context.Context, run *flows.Run, o *authenticators.Offer, tx uuid.UUID, code string) (*progress, string, error) {
	device, err := uuid.Parse(o.UID)
	if err != nil {
		return nil, "", fmt.Errorf("device of offer: %w", err)
	}
	q, err := run.Tx(ctx)
	if err != nil {
		return nil, "", err
	}
	p := &progress{}
	var status string
	var node uuid.UUID
	var listening *uuid.UUID
	err = q.QueryRow(ctx, codeSQL, tx, code, run.Now()).Scan(&status, &node, &p.carried, &p.left, &listening)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("take code: %w", db.Fault(err))
	}
	// What this process knows of the prompt is no longer all: whoever looks, in this request too, reads it.
	s.waiters.wake(tx)
	run.AfterCommit(func() {
		if status != statusWait || !p.carried { // else nothing is new to others, and this request may wait for the phone by now
			s.wake(node, tx)
		}
		if status != statusWait {
			s.Push.Cancel(tx.String())
			s.rouse(device, listening)
		}
	})
	action := event.LoginFailed
	switch {
	case p.carried:
		action = actionCode
	case status == statusWait:
		action = actionWrongCode
	}
	u, err := run.PendingUser(ctx)
	if err != nil {
		return nil, "", err
	}
	e := event.Event{Action: action, App: app, Context: map[string]any{
		"transaction": tx, "device": deviceRef(device, o.Name), "device_class": Class, "mobile_response": status, "attempts_left": p.left,
	}}
	if u != nil {
		e.User = &event.User{PK: u.ID, Username: u.Username, Email: u.Email}
		e.Context["username"] = u.Username
	}
	return p, status, run.Emit(ctx, e)
}

func wrongCode(left int) string {
	return "That is not the code that your phone shows. " + leftText(left)
}

func codeFailure(code, text string) fault.Fields {
	return fault.Fields{"code": {{Code: code, Text: text}}}
}

package mobile

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"countersign/core/api"
	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/mobile/wire"
	"countersign/push"
)

// ApprovalRequest asks a user to approve something that is no login.
type ApprovalRequest struct {
	User      int              `json:"user,omitempty" doc:"Key of the user who is asked; or username is given."`
	Username  string           `json:"username,omitempty" api:"blank,max=150" doc:"Name of the user who is asked, in place of user."`
	Fields    wire.Transaction `json:"fields" api:"required" doc:"What the phone shows, and signs."`
	ExpiresIn int              `json:"expires_in,omitempty" api:"min=10,max=600" doc:"Seconds that the phone has to answer; default 120."`
	Reference string           `json:"reference,omitempty" api:"blank,max=100" doc:"Your own name for it. It is not shown."`
	Webhook   string           `json:"webhook,omitempty" api:"blank,max=500" doc:"https URL that is told, signed, how it ended."`
}

// SchemaName is the component's name.
func (ApprovalRequest) SchemaName() string { return "MobileApprovalRequest" }

// Approval is such a request, and how it stands.
type Approval struct {
	ID        uuid.UUID        `json:"id" api:"required"`
	Status    ApprovalStatus   `json:"status" api:"required"`
	User      int              `json:"user" api:"required"`
	Fields    wire.Transaction `json:"fields" api:"required"`
	Reference string           `json:"reference" api:"required"`
	SignedBy  string           `json:"signed_by,omitempty" doc:"Which key of the phone signed the answer: possession or user_verification."`
	Webhook   string           `json:"webhook,omitempty"`
	Decided   *time.Time       `json:"decided,omitempty" doc:"When the person answered; absent where nobody did."`
	Created   time.Time        `json:"created" api:"required"`
	Expires   time.Time        `json:"expires" api:"required"`
}

// SchemaName is the component's name.
func (Approval) SchemaName() string { return "MobileApproval" }

// ApprovalStatus is how an approval stands.
type ApprovalStatus string

// The states. A superseded one gave way to a login of the same user; a reported one was denied by somebody who says that it is
// not theirs.
const (
	ApprovalPending    ApprovalStatus = "pending"
	ApprovalApproved   ApprovalStatus = "approved"
	ApprovalDenied     ApprovalStatus = "denied"
	ApprovalReported   ApprovalStatus = "reported"
	ApprovalExpired    ApprovalStatus = "expired"
	ApprovalSuperseded ApprovalStatus = "superseded"
	ApprovalCancelled  ApprovalStatus = "cancelled"
)

// Enum lists the states.
func (ApprovalStatus) Enum() []string {
	return []string{
		string(ApprovalPending), string(ApprovalApproved), string(ApprovalDenied), string(ApprovalReported),
		string(ApprovalExpired), string(ApprovalSuperseded), string(ApprovalCancelled),
	}
}

// SchemaName is the component's name.
func (ApprovalStatus) SchemaName() string { return "MobileApprovalStatusEnum" }

const (
	defaultApprovalWindow = 2 * time.Minute
	maxIdempotencyKey     = 100
	sourceAPI             = "api" // of a prompt, where a login has the address of its browser
	idempotencyHeader     = "Idempotency-Key"
	actionApprovalAsked   = event.Action("custom_mobile_approval_requested")

	actionApprovalExpired   = event.Action("custom_mobile_approval_expired")
	actionApprovalCancelled = event.Action("custom_mobile_approval_cancelled")
)

// MountApprovals adds /authenticators/mobile/approvals/, for superusers and for who has been given [PermissionApprovals].
func (s *Service) MountApprovals(a *api.API) {
	const path = "/authenticators/mobile/approvals/"
	op := func(method, action, id, description string) api.Operation {
		o := api.Operation{Method: method, Path: path + action, Tag: "authenticators", ID: id, Description: description, BodyLimit: wire.MaxBodyBytes, NotFound: true}
		if action != "" {
			o.Params = []api.Parameter{{Name: "id", Format: "uuid", Description: "Key of the approval."}}
		}
		return o
	}
	create := op("POST", "", "authenticators_mobile_approvals_create", "Ask a user to approve something on the phone that is no login")
	create.Status = 201
	api.Handle(a, create, s.createApproval)
	list := op("GET", "", "authenticators_mobile_approvals_list", "Approvals that were asked for, the newest first")
	list.NotFound = false
	list.Query = []api.Parameter{
		{Name: "page", Type: "integer", Description: "A page number within the paginated result set."},
		{Name: "page_size", Type: "integer", Description: fmt.Sprintf("Number of results to return per page, %d at most.", api.MaxPageSize)},
		{Name: "status", Enum: ApprovalStatus("").Enum(), Description: "Only those that stand so."},
	}
	api.Handle(a, list, s.listApprovals)
	api.Handle(a, api.Operation{
		Method: "GET", Path: "/authenticators/mobile/server_keys/", Tag: "authenticators", ID: "authenticators_mobile_server_keys_retrieve",
		Description: "The server's public key, as a JWK set, by which webhooks are verified",
	}, s.serverKeys)
	get := op("GET", "{id}/", "authenticators_mobile_approvals_retrieve", "How an approval stands")
	get.Query = []api.Parameter{{Name: "wait", Type: "integer", Description: "Seconds to hold the reply while it is pending, at most 50."}}
	api.Handle(a, get, s.getApproval)
	api.Handle(a, op("DELETE", "{id}/", "authenticators_mobile_approvals_destroy", "Cancel an approval that is pending"), s.cancelApproval)
}

// createApproval opens an approval, or gives the one that the same request with the same Idempotency-Key opened. Errors: Invalid;
// Conflict while the phone is asked something else, and for a key that came with another request; Throttled.
func (s *Service) createApproval(ctx context.Context, r *api.Request, in ApprovalRequest) (*Approval, error) {
	if err := s.mayApprove(ctx, r); err != nil {
		return nil, err
	}
	fields := fault.Fields{}
	for _, v := range in.Fields.Validate() {
		fields.Add("fields."+v.Field, v.Code, v.Text)
	}
	if (in.User == 0) == (in.Username == "") {
		fields.Add("user", "required", "Give one of user and username.")
	}
	if err := s.checkWebhook(in.Webhook); err != nil {
		fields.Add("webhook", "invalid", "This webhook is not called: "+err.Error()+".")
	}
	key := r.HTTP.Header.Get(idempotencyHeader)
	if len(key) > maxIdempotencyKey {
		fields.Add(fault.NonField, "max_length", fmt.Sprintf("The header %s has more than %d characters.", idempotencyHeader, maxIdempotencyKey))
	}
	if err := fields.Err(); err != nil {
		return nil, err
	}
	text, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("hash request: %w", err)
	}
	o := asking{ApprovalRequest: in, key: key, hash: sha256.Sum256(text), creator: r.Actor.ID}
	if err := db.InTx(ctx, s.Pool, func(tx pgx.Tx) error { return s.openApproval(ctx, tx, &o) }); err != nil {
		return nil, err
	}
	if o.target != nil {
		s.waiters.opened(o.id, o.created, o.expires)
		s.rouse(o.target.device, o.target.listening)
		s.Push.Dispatch(s.approvalJob(&o))
	}
	return s.approval(ctx, o.id, r.Actor.ID, r.Actor.Superuser)
}

// asking is an approval as it is opened. target stays nil if it was open already.
type asking struct {
	ApprovalRequest
	key              string
	hash             [sha256.Size]byte
	creator          int
	id               uuid.UUID
	target           *target
	created, expires time.Time
}

// errBusy is the answer while the user's phone is asked something else.
var errBusy error = fault.New(fault.Conflict, "busy", "The user's phone is being asked something else. Try again in a minute.")

func (s *Service) openApproval(ctx context.Context, tx pgx.Tx, o *asking) error {
	if o.key != "" {
		// Of several requests with one key, one opens it.
		_, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`, "countersign approval "+strconv.Itoa(o.creator)+" "+o.key)
		if err != nil {
			return fmt.Errorf("lock idempotency key: %w", db.Fault(err))
		}
		var hash []byte
		err = tx.QueryRow(ctx, `SELECT tx_id, request_hash FROM mobile_transactions WHERE creator = $1 AND idempotency_key = $2`, o.creator, o.key).Scan(&o.id, &hash)
		switch {
		case err == nil && string(hash) == string(o.hash[:]):
			return nil
		case err == nil:
			return fault.New(fault.Conflict, "idempotency_key", "This idempotency key came with another request.")
		case !errors.Is(err, pgx.ErrNoRows):
			return fmt.Errorf("look for idempotency key: %w", db.Fault(err))
		}
	}
	var err error
	if o.target, err = s.approver(ctx, tx, o); err != nil {
		return err
	}
	t, now := o.target, s.Now()
	window := defaultApprovalWindow
	if o.ExpiresIn > 0 {
		window = time.Duration(o.ExpiresIn) * time.Second
	}
	if o.id, err = uuid.NewV7(); err != nil {
		return fmt.Errorf("name approval: %w", err)
	}
	o.created, o.expires = now, now.Add(window)
	if t.pending != nil {
		if now.Before(*t.pendingUntil) {
			return errBusy
		}
		if err := s.expireApprovals(ctx, tx, t.pending); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE mobile_transactions SET status = 'expired' WHERE tx_id = $1 AND status = 'wait'`, *t.pending); err != nil {
			return fmt.Errorf("expire prompt: %w", db.Fault(err))
		}
	}
	items, correct, err := draw(s.Random, wire.AcceptDeny)
	if err != nil {
		return err
	}
	shown := wire.Context{Time: now.UTC().Truncate(time.Second)}
	var key *string
	if o.key != "" {
		key = &o.key
	}
	_, err = tx.Exec(ctx, `INSERT INTO mobile_transactions (tx_id, device, user_id, source, mode, items, correct, context, node, created, expires, ring, browser,
			attempts_left, approval, creator, reference, idempotency_key, request_hash, webhook)
		VALUES ($1, $2, $3, 'api', $4, $5, $6, $7, $8, $9, $10, $11, $12, 1, $13, $14, $15, $16, $17, $18)`,
		o.id, t.device, t.userID, string(wire.AcceptDeny), items, correct, shown, s.Bus.Node(), o.created, o.expires, t.nextRing(), o.mark(),
		o.Fields, o.creator, o.Reference, key, o.hash[:], o.Webhook)
	var clash *pgconn.PgError
	if errors.As(err, &clash) && (clash.ConstraintName == pendingKey || clash.ConstraintName == ringKey) { // a login was quicker
		return errBusy
	}
	if err != nil {
		return fmt.Errorf("open approval: %w", db.Fault(err))
	}
	return s.Events.Emit(ctx, tx, event.Event{Action: actionApprovalAsked, App: app, Owner: t.userID, Context: map[string]any{
		"transaction": o.id, "device": deviceRef(t.device, t.name), "title": o.Fields.Title, "reference": o.Reference, "expires": o.expires,
	}})
}

// mark gives each application that asks a budget of its own, apart from that of logins.
func (o *asking) mark() string { return "api:" + strconv.Itoa(o.creator) }

// approver is the phone that is asked: of those of the user that sign and can show it, the one that called in last.
func (s *Service) approver(ctx context.Context, tx pgx.Tx, o *asking) (*target, error) {
	var device uuid.UUID
	err := tx.QueryRow(ctx, `SELECT d.uuid FROM mobile_devices d JOIN users u ON u.id = d.user_id
		WHERE (d.user_id = $1 OR u.username = $2) AND d.confirmed AND d.signs AND d.can_fetch AND u.is_active
			AND d.info->'others'->'countersign'->'transactions' = 'true' ORDER BY d.last_checkin DESC NULLS LAST, d.uuid LIMIT 1 FOR UPDATE OF d`,
		o.User, o.Username).Scan(&device)
	if errors.Is(err, pgx.ErrNoRows) {
		field := "user"
		if o.User == 0 {
			field = "username"
		}
		return nil, fault.Field(field, "invalid", "This user has no phone that signs its answers and can show what is to be approved.")
	}
	if err != nil {
		return nil, fmt.Errorf("find phone: %w", db.Fault(err))
	}
	a := &aiming{device: device, source: sourceAPI, now: s.Now()}
	if err := a.scan(tx.QueryRow(ctx, aimSQL, a.args()...)); err != nil {
		return nil, fmt.Errorf("read device %s: %w", device, db.Fault(err))
	}
	t := a.target
	if t == nil {
		return nil, errBusy
	}
	wait := s.Budget.wait(s.Now(), t.history, asker{source: sourceAPI, browser: o.mark()})
	if t.blocked != nil {
		wait = max(wait, t.blocked.Sub(s.Now()))
	}
	if t.changed {
		cooling, err := s.cooling(ctx, tx, device)
		if err != nil {
			return nil, err
		}
		if cooling > wait {
			f := fault.New(fault.Throttled, "cooldown", "The keys or the address of this user's phone changed a short time ago. Try again later.")
			f.RetryAfter = cooling
			return nil, f
		}
	}
	if wait > 0 {
		f := fault.New(fault.Throttled, "throttled", "This user was asked too often. Try again later.")
		f.RetryAfter = wait
		return nil, f
	}
	return t, nil
}

// approvalJob is the push about an approval. It says nothing of it.
func (s *Service) approvalJob(o *asking) push.Job {
	return s.job(o.target, prompt{id: o.id, mode: wire.AcceptDeny, expires: o.expires, approval: true}, "Approval")
}

// approvalSQL reads approvals at the time $1 that the caller $2 may see, or anybody if $3.
const approvalSQL = `SELECT tx_id AS id, CASE status WHEN 'wait' THEN CASE WHEN expires <= $1 THEN 'expired' ELSE 'pending' END WHEN 'accept' THEN 'approved'
		WHEN 'deny' THEN CASE WHEN disowned THEN 'reported' ELSE 'denied' END WHEN 'wrong' THEN 'denied' ELSE status END AS status,
		user_id AS user, approval AS fields, reference, CASE WHEN answered IS NOT NULL THEN signed ELSE '' END AS signed_by, webhook, answered AS decided,
		created, expires, status = 'wait' AND expires <= $1 AS due
	FROM mobile_transactions WHERE approval IS NOT NULL AND ($3 OR creator = $2)`

func scanApproval(row pgx.CollectableRow) (*approvalRow, error) {
	a := &approvalRow{}
	return a, row.Scan(&a.ID, &a.Status, &a.User, &a.Fields, &a.Reference, &a.SignedBy, &a.Webhook, &a.Decided, &a.Created, &a.Expires, &a.due)
}

// approvalRow is an approval as it is read. due: its time is over, and nobody has noted it.
type approvalRow struct {
	Approval
	due bool
}

// approval reads one that the caller may see, and notes that it expired if nobody has. Errors: NotFound.
func (s *Service) approval(ctx context.Context, id uuid.UUID, caller int, all bool) (*Approval, error) {
	rows, err := s.Pool.Query(ctx, approvalSQL+` AND tx_id = $4`, s.Now(), caller, all, id)
	if err != nil {
		return nil, fmt.Errorf("read approval: %w", db.Fault(err))
	}
	a, err := pgx.CollectExactlyOneRow(rows, scanApproval)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fault.Missing()
	}
	if err != nil {
		return nil, fmt.Errorf("read approval: %w", db.Fault(err))
	}
	if a.due {
		if err := db.InTx(ctx, s.Pool, func(tx pgx.Tx) error { return s.expireApprovals(ctx, tx, &id) }); err != nil {
			return nil, err
		}
	}
	return &a.Approval, nil
}

// expireApprovals ends the approvals whose time is over, each with its event; only that of an id, if there is one.
func (s *Service) expireApprovals(ctx context.Context, tx pgx.Tx, id *uuid.UUID) error {
	rows, err := tx.Query(ctx, `UPDATE mobile_transactions x SET status = 'expired' FROM mobile_devices d
		WHERE x.status = 'wait' AND x.expires <= $1 AND x.approval IS NOT NULL AND ($2::uuid IS NULL OR x.tx_id = $2) AND d.uuid = x.device
		RETURNING x.tx_id, d.uuid, d.name, x.user_id, x.reference`, s.Now(), id)
	if err != nil {
		return fmt.Errorf("expire approvals: %w", db.Fault(err))
	}
	type over struct {
		ID, Device uuid.UUID
		Name       string
		User       int
		Reference  string
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[over])
	if err != nil {
		return fmt.Errorf("expire approvals: %w", db.Fault(err))
	}
	for _, o := range all {
		err := s.Events.Emit(ctx, tx, event.Event{Action: actionApprovalExpired, App: app, Owner: o.User, Context: map[string]any{
			"transaction": o.ID, "device": deviceRef(o.Device, o.Name), "reference": o.Reference,
		}})
		if err != nil {
			return err
		}
	}
	return nil
}

// listApprovals gives a page of those that the caller may see. Errors: Invalid about status.
func (s *Service) listApprovals(ctx context.Context, r *api.Request, _ api.None) (*api.Page[Approval], error) {
	if err := s.mayApprove(ctx, r); err != nil {
		return nil, err
	}
	status := r.Query().Get("status")
	if status != "" && !slices.Contains(ApprovalStatus("").Enum(), status) {
		return nil, fault.Field("status", "invalid_choice", fmt.Sprintf("%q is not a valid choice.", status))
	}
	paging, err := r.Paging()
	if err != nil {
		return nil, err
	}
	page := &api.Page[Approval]{Results: []Approval{}}
	args := []any{s.Now(), r.Actor.ID, r.Actor.Superuser, status}
	listed := `FROM (` + approvalSQL + `) a WHERE $4 IN ('', status)`
	var count int
	if err := s.Pool.QueryRow(ctx, `SELECT count(*) `+listed, args...).Scan(&count); err != nil {
		return nil, fmt.Errorf("count approvals: %w", db.Fault(err))
	}
	var offset int
	if page.Pagination, offset, err = paging.Pagination(count); err != nil {
		return nil, err
	}
	rows, err := s.Pool.Query(ctx, `SELECT * `+listed+` ORDER BY created DESC, id DESC LIMIT $5 OFFSET $6`, append(args, paging.Size, offset)...)
	if err != nil {
		return nil, fmt.Errorf("list approvals: %w", db.Fault(err))
	}
	all, err := pgx.CollectRows(rows, scanApproval)
	if err != nil {
		return nil, fmt.Errorf("list approvals: %w", db.Fault(err))
	}
	for _, a := range all {
		page.Results = append(page.Results, a.Approval)
	}
	return page, nil
}

func (s *Service) getApproval(ctx context.Context, r *api.Request, _ api.None) (*Approval, error) {
	if err := s.mayApprove(ctx, r); err != nil {
		return nil, err
	}
	id, err := uuid.Parse(r.Param("id"))
	if err != nil {
		return nil, fault.Missing()
	}
	hold := time.Duration(0)
	if n, err := strconv.Atoi(r.Query().Get("wait")); err == nil && n > 0 {
		hold = min(time.Duration(n)*time.Second, holdLimit)
	}
	wake, cancel := s.waiters.subscribe(id, false)
	defer cancel()
	timer := time.NewTimer(hold)
	defer timer.Stop()
	for {
		a, err := s.approval(ctx, id, r.Actor.ID, r.Actor.Superuser)
		if err != nil || hold == 0 || a.Status != ApprovalPending {
			return a, err
		}
		// The node that holds the request is the one that the answer wakes.
		st, err := s.stand(ctx, s.Pool, id)
		if err != nil {
			return nil, err
		}
		if st == nil || st.status != statusWait {
			continue
		}
		select {
		case <-wake:
		case <-timer.C:
			hold = 0
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// cancelApproval ends an approval that nobody has answered. Errors: Conflict if somebody has.
func (s *Service) cancelApproval(ctx context.Context, r *api.Request, _ api.None) (api.None, error) {
	if err := s.mayApprove(ctx, r); err != nil {
		return api.None{}, err
	}
	id, err := uuid.Parse(r.Param("id"))
	if err != nil {
		return api.None{}, fault.Missing()
	}
	if _, err := s.approval(ctx, id, r.Actor.ID, r.Actor.Superuser); err != nil {
		return api.None{}, err
	}
	var device, node uuid.UUID
	var name string
	var listening *uuid.UUID
	err = db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `UPDATE mobile_transactions x SET status = 'cancelled' FROM mobile_devices d
			WHERE x.tx_id = $1 AND x.status = 'wait' AND x.expires > $2 AND d.uuid = x.device RETURNING d.uuid, d.name, x.node, d.listening_node`, id, s.Now()).
			Scan(&device, &name, &node, &listening)
		if errors.Is(err, pgx.ErrNoRows) {
			return fault.New(fault.Conflict, "over", "This approval is not pending any more.")
		}
		if err != nil {
			return fmt.Errorf("cancel approval: %w", db.Fault(err))
		}
		return s.Events.Emit(ctx, tx, event.Event{Action: actionApprovalCancelled, App: app, Context: map[string]any{"transaction": id, "device": deviceRef(device, name)}})
	})
	if err != nil {
		return api.None{}, err
	}
	s.Push.Cancel(id.String())
	s.wake(node, id)
	s.rouse(device, listening)
	return api.None{}, nil
}

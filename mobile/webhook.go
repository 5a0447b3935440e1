package mobile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/api"
	"countersign/core/db"
	"countersign/core/egress"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/core/task"
)

const (
	webhookJob      = "approval_webhook"
	webhookChannel  = "countersign_webhook" // of the notifications by 018_webhooks.sql
	webhookBatch    = 100                   // rows that leave the outbox in one transaction
	webhookAttempts = 8                     // over some six hours
	webhookLimit    = 10 * time.Second
	webhookRead     = 1 << 10 // bytes of a reply that are read, so that the connection may serve again

	// SignatureHeader has the outcome once more, signed by the server.
	SignatureHeader = "Countersign-Signature"

	actionWebhookFailed = event.Action("custom_mobile_approval_webhook_failed")
)

// approvalOutcome is what an application is told. The JWS in SignatureHeader has the same bytes.
type approvalOutcome struct {
	Audience string         `json:"aud"` // the webhook: nobody can pass it on to another
	Decided  *time.Time     `json:"decided"`
	IssuedAt int64          `json:"iat"`
	ID       uuid.UUID      `json:"id"`
	Refer    string         `json:"reference"`
	SignedBy string         `json:"signed_by,omitempty"`
	Status   ApprovalStatus `json:"status"`
	User     int            `json:"user"`
}

// hook is what a background job holds: an approval that ended, or one that is to expire.
type hook struct {
	ID     uuid.UUID `json:"id"`
	Expiry bool      `json:"expiry,omitempty"`
}

// checkWebhook says what is wrong with where an application wants to be told; "" is nowhere.
func (s *Service) checkWebhook(address string) error {
	if address == "" {
		return nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Opaque != "" || u.User != nil || u.Fragment != "" {
		return errors.New("must be an absolute URL without a user or a fragment")
	}
	return s.Webhooks.Permits(u)
}

// newWebhooks calls nobody that the hosts do not permit, and follows nobody elsewhere.
func newWebhooks(allowed egress.Hosts) *http.Client {
	return &http.Client{
		Transport: egress.Transport(allowed), Timeout: webhookLimit,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// WebhookJob is the background job that tells an application how its approval ended.
func (s *Service) WebhookJob() task.OneOff {
	return task.OneOff{
		Name: webhookJob, Workers: 8, Attempts: webhookAttempts, Timeout: webhookLimit + 15*time.Second, // the rest is for the database
		Run: s.tellApplication, Failed: s.applicationUntold,
	}
}

// StartWebhooks begins to make jobs of what is in the outbox, until stop. Call it before those jobs are worked.
func (s *Service) StartWebhooks(jobs task.Inserter) (stop func()) {
	return task.Relay(s.Pool, s.Log, webhookChannel, func(ctx context.Context) error { return s.RelayWebhooks(ctx, jobs) })
}

// RelayWebhooks makes background jobs of what is in the outbox. Nodes that do it at once share it.
func (s *Service) RelayWebhooks(ctx context.Context, jobs task.Inserter) error {
	for {
		var inserts []task.Insert
		err := db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
			rows, err := tx.Query(ctx, `DELETE FROM mobile_webhook_outbox WHERE position IN
				(SELECT position FROM mobile_webhook_outbox ORDER BY position LIMIT $1 FOR UPDATE SKIP LOCKED) RETURNING tx_id, due`, webhookBatch)
			if err != nil {
				return db.Fault(err)
			}
			inserts, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (task.Insert, error) {
				var h hook
				var due *time.Time
				if err := row.Scan(&h.ID, &due); err != nil || due == nil {
					return task.Insert{Job: webhookJob, Facts: h}, err
				}
				h.Expiry = true
				return task.Insert{Job: webhookJob, Facts: h, At: *due}, nil
			})
			if err != nil {
				return db.Fault(err)
			}
			return jobs.InsertTx(ctx, tx, inserts...)
		})
		if err != nil {
			return fmt.Errorf("relay webhooks: %w", err)
		}
		if len(inserts) < webhookBatch {
			return nil
		}
	}
}

// tellApplication calls the webhook of an approval that ended, or lets one expire whose time is over: which ends it.
func (s *Service) tellApplication(ctx context.Context, facts json.RawMessage) error {
	var h hook
	if err := json.Unmarshal(facts, &h); err != nil {
		return task.Final(fmt.Errorf("read the webhook's job: %w", err))
	}
	a, err := s.approval(ctx, h.ID, 0, true) // which expires it
	switch {
	case fault.Is(err, fault.NotFound):
		return nil // with its user, or its device
	case err != nil:
		return err
	case h.Expiry || a.Status == ApprovalPending:
		return nil
	}
	body, err := json.Marshal(approvalOutcome{
		Audience: a.Webhook, Decided: a.Decided, IssuedAt: s.Now().Unix(), ID: a.ID, Refer: a.Reference, SignedBy: a.SignedBy, Status: a.Status, User: a.User,
	})
	if err != nil {
		return task.Final(err)
	}
	signer, err := s.signer(ctx)
	if err != nil {
		return err
	}
	signed, err := signer.SignOutcome(body)
	if err != nil {
		return err
	}
	return s.post(ctx, a.Webhook, body, signed)
}

// post makes one attempt. Its errors do not show the URL, whose path may be a secret of the application's.
func (s *Service) post(ctx context.Context, address string, body []byte, signed string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return task.Final(errors.New("the webhook is no URL"))
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "Countersign")
	r.Header.Set(SignatureHeader, signed)
	reply, err := s.webhooks.Do(r)
	var named *url.Error
	if errors.As(err, &named) {
		err = named.Err
	}
	if err != nil {
		err = fmt.Errorf("call webhook: %w", err)
		if errors.Is(err, egress.ErrPrivate) {
			return task.Final(err)
		}
		return err
	}
	defer func() { _ = reply.Body.Close() }()
	_, _ = io.CopyN(io.Discard, reply.Body, webhookRead)
	switch code := reply.StatusCode; {
	case code >= 200 && code < 300:
		return nil
	case code >= 300 && code < 400 || code == http.StatusGone:
		return task.Final(fmt.Errorf("the webhook answered %d", code))
	default:
		return fmt.Errorf("the webhook answered %d", code)
	}
}

// applicationUntold writes the event that a webhook was not reached.
func (s *Service) applicationUntold(ctx context.Context, facts json.RawMessage, cause error) {
	var h hook
	err := json.Unmarshal(facts, &h)
	if err == nil {
		err = s.Events.Emit(ctx, s.Pool, event.Event{Action: actionWebhookFailed, App: app, Context: map[string]any{
			"message": "The application was not told how its approval ended.", "transaction": h.ID, "error": cause.Error(),
		}})
	}
	if err != nil {
		s.Log.ErrorContext(ctx, "a webhook failed, its event is not written", "transaction", h.ID, "error", err)
	}
}

// ServerKey is a public key of the server, as RFC 7517 and 7518 have it.
type ServerKey struct {
	Kty string `json:"kty" api:"required"`
	Crv string `json:"crv" api:"required"`
	X   string `json:"x" api:"required"`
	Y   string `json:"y" api:"required"`
	Kid string `json:"kid" api:"required" doc:"Its thumbprint by RFC 7638."`
	Alg string `json:"alg" api:"required"`
	Use string `json:"use" api:"required"`
}

// SchemaName is the component's name.
func (ServerKey) SchemaName() string { return "MobileServerKey" }

// ServerKeys are a JWK set.
type ServerKeys struct {
	Keys []ServerKey `json:"keys" api:"required"`
}

// SchemaName is the component's name.
func (ServerKeys) SchemaName() string { return "MobileServerKeys" }

// serverKeys gives the key by which phones and webhooks know the server.
func (s *Service) serverKeys(ctx context.Context, _ *api.Request, _ api.None) (*ServerKeys, error) {
	signer, err := s.signer(ctx)
	if err != nil {
		return nil, err
	}
	jwk, err := json.Marshal(signer.Key)
	if err != nil {
		return nil, fmt.Errorf("give server key: %w", err)
	}
	k := ServerKey{Kid: signer.Thumbprint, Alg: signer.Algorithm, Use: "sig"}
	if err := json.Unmarshal(jwk, &k); err != nil {
		return nil, fmt.Errorf("give server key: %w", err)
	}
	return &ServerKeys{Keys: []ServerKey{k}}, nil
}

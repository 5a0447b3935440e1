package app_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/cmd/app"
	"countersign/core/dbtest"
	"countersign/mobile/wire"
	"countersign/simulator/phone"
)

const approvals = "/api/v3/authenticators/mobile/approvals/"

// approval is what the API says of one.
type approval struct {
	ID       string           `json:"id"`
	Status   string           `json:"status"`
	SignedBy string           `json:"signed_by"`
	Decided  *time.Time       `json:"decided"`
	Fields   wire.Transaction `json:"fields"`
}

func payment() map[string]any {
	return map[string]any{
		"title": "Pay an invoice", "payee": "Müller & Söhne", "text": "Invoice 117",
		"amount": map[string]any{"value": "1234.50", "currency": "EUR"}, "fields": []any{map[string]any{"label": "IBAN", "value": "DE02 1203 0000"}},
	}
}

// ask asks for an approval, with an idempotency key if it is not empty.
func (n *node) ask(user int, key string, fields map[string]any) (answer, approval) {
	n.t.Helper()
	return n.askWith(key, map[string]any{"user": user, "fields": fields, "reference": "117"})
}

func (n *node) askWith(key string, request map[string]any) (answer, approval) {
	n.t.Helper()
	body, err := json.Marshal(request)
	if err != nil {
		n.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(n.t.Context(), http.MethodPost, n.base+approvals, strings.NewReader(string(body)))
	if err != nil {
		n.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+adminToken)
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	got := n.send(req)
	var a approval
	if got.status == 201 {
		if err := json.Unmarshal([]byte(got.body), &a); err != nil {
			n.t.Fatal(err)
		}
	}
	return got, a
}

func (n *node) status(id, query string) approval {
	n.t.Helper()
	var a approval
	got := n.call(http.MethodGet, approvals+id+"/"+query, adminToken, nil)
	if err := json.Unmarshal([]byte(got.body), &a); got.status != 200 || err != nil {
		n.t.Fatalf("%d %s", got.status, got.body)
	}
	return a
}

// approving is a server with a database that the test reads, its administrator's key, and a phone of theirs that signs.
func approving(t *testing.T, behaviour phone.Behaviour) (*node, *pgxpool.Pool, int, *phone.Phone) {
	t.Helper()
	pool := dbtest.Pool(t)
	n := start(t, func(c *app.Config) { c.Database.URL = pool.Config().ConnString() })
	p, _ := n.enrolledAs(phone.Options{Signs: true, Verifies: true, Behaviour: behaviour})
	var user int
	if err := pool.QueryRow(t.Context(), `SELECT id FROM users WHERE username = 'akadmin'`).Scan(&user); err != nil {
		t.Fatal(err)
	}
	return n, pool, user, p
}

// T16: an application asks, the phone shows what was signed for it, its answer releases the caller who waits, also on another
// node; each step is an event with the device.
func TestApproval(t *testing.T) {
	t.Parallel()
	n, pool, user, p := approving(t, nil)
	other := start(t, func(c *app.Config) { c.Database.URL, c.SecretKey = pool.Config().ConnString(), strings.Repeat("k", 40) })
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	got, a := n.ask(user, "", payment())
	if got.status != 201 || a.Status != "pending" {
		t.Fatalf("%d %s", got.status, got.body)
	}
	ring, err := p.AwaitRing(ctx, func(r phone.Ring) bool { return r.TxID == a.ID })
	if err != nil {
		t.Fatal(err)
	}
	if ring.Transaction == nil || ring.Transaction.Lines()[1] != (wire.Line{Label: "Amount", Value: "1\u202f234.50 EUR"}) {
		t.Fatalf("the phone shows %+v", ring.Transaction)
	}
	if busy, _ := n.ask(user, "", payment()); busy.status != http.StatusConflict {
		t.Errorf("while the phone is asked: %d %s", busy.status, busy.body)
	}
	released := make(chan approval)
	go func() { released <- other.status(a.ID, "?wait=20") }()
	if err := p.Answer(ctx, a.ID, wire.ItemAccept); err != nil {
		t.Fatal(err)
	}
	if got := <-released; got.Status != "approved" || got.SignedBy != "user_verification" {
		t.Errorf("on the other node: %+v", got)
	}
	if got := n.call(http.MethodDelete, approvals+a.ID+"/", adminToken, nil); got.status != http.StatusConflict {
		t.Errorf("cancel what is approved: %d %s", got.status, got.body)
	}
	_, a = n.ask(user, "", payment())
	if _, err := p.AwaitRing(ctx, func(r phone.Ring) bool { return r.TxID == a.ID }); err != nil {
		t.Fatal(err)
	}
	if err := p.Answer(ctx, a.ID, wire.ItemDeny); err != nil {
		t.Fatal(err)
	}
	if got := n.status(a.ID, ""); got.Status != "denied" {
		t.Errorf("after no: %+v", got)
	}
	for action, want := range map[string]int{
		"custom_mobile_approval_requested": 2, "custom_mobile_approved": 1, "custom_mobile_approval_denied": 1, "login_failed": 0,
	} {
		var events int
		err := pool.QueryRow(ctx, `SELECT count(*) FROM events WHERE action = $1 AND (context->'device'->>'name' IS NOT NULL OR action = 'login_failed')`, action).Scan(&events)
		if err != nil || events != want {
			t.Errorf("%d events %s, want %d (%v)", events, action, want, err)
		}
	}
}

// T16: what was changed since the phone showed it, in any field, is not what it approved.
func TestApprovalOfSomethingElse(t *testing.T) {
	t.Parallel()
	n, pool, user, p := approving(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, a := n.ask(user, "", payment())
	if _, err := p.AwaitRing(ctx, func(r phone.Ring) bool { return r.TxID == a.ID }); err != nil {
		t.Fatal(err)
	}
	for path, value := range map[string]string{
		"{title}": "Pay", "{payee}": "Eve", "{text}": "x", "{amount,value}": "9999.50", "{amount,currency}": "USD", "{fields,0,value}": "DE99", "{fields,0,label}": "BIC",
	} {
		var before []byte
		if err := pool.QueryRow(ctx, `SELECT approval FROM mobile_transactions WHERE tx_id = $1`, a.ID).Scan(&before); err != nil {
			t.Fatal(err)
		}
		if _, err := pool.Exec(ctx, `UPDATE mobile_transactions SET approval = jsonb_set(approval, $2::text[], to_jsonb($3::text)) WHERE tx_id = $1`, a.ID, path, value); err != nil {
			t.Fatal(err)
		}
		if err := p.Answer(ctx, a.ID, wire.ItemAccept); err == nil || !strings.Contains(err.Error(), "400") {
			t.Errorf("%s: %v", path, err)
		}
		if got := n.status(a.ID, ""); got.Status != "pending" {
			t.Fatalf("%s: %+v", path, got)
		}
		if _, err := pool.Exec(ctx, `UPDATE mobile_transactions SET approval = $2 WHERE tx_id = $1`, a.ID, before); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Answer(ctx, a.ID, wire.ItemAccept); err != nil {
		t.Errorf("what was shown: %v", err)
	}
}

// Fifty requests with one key ask once; another request with it is a conflict.
func TestApprovalIdempotency(t *testing.T) {
	t.Parallel()
	n, pool, user, _ := approving(t, nil)
	ids := make([]string, 50)
	var all sync.WaitGroup
	for i := range ids {
		all.Go(func() {
			got, a := n.ask(user, "order-117", payment())
			if ids[i] = a.ID; got.status != 201 {
				t.Errorf("%d %s", got.status, got.body)
			}
		})
	}
	all.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("%s and %s", id, ids[0])
		}
	}
	var rows int
	if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM mobile_transactions`).Scan(&rows); err != nil || rows != 1 {
		t.Errorf("%d rows, %v", rows, err)
	}
	other := payment()
	other["payee"] = "Eve"
	if got, _ := n.ask(user, "order-117", other); got.status != http.StatusConflict {
		t.Errorf("another request: %d %s", got.status, got.body)
	}
}

// Of an approval and its cancellation in the same moment, one counts.
func TestApprovalCancelRace(t *testing.T) {
	t.Parallel()
	n, _, user, p := approving(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for range 3 {
		got, a := n.ask(user, "", payment())
		if got.status == http.StatusTooManyRequests {
			return // the budget of an application whose requests are not approved
		}
		if _, err := p.AwaitRing(ctx, func(r phone.Ring) bool { return r.TxID == a.ID }); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		var cancelled int
		var answered error
		all.Go(func() { cancelled = n.call(http.MethodDelete, approvals+a.ID+"/", adminToken, nil).status })
		all.Go(func() { answered = p.Answer(ctx, a.ID, wire.ItemAccept) })
		all.Wait()
		want := map[bool]string{true: "approved", false: "cancelled"}[answered == nil]
		if (answered == nil) == (cancelled == http.StatusNoContent || cancelled == http.StatusOK) || n.status(a.ID, "").Status != want {
			t.Errorf("answered %v, cancelled %d, is %s", answered, cancelled, n.status(a.ID, "").Status)
		}
	}
}

// Who may not ask does not, nobody is asked whose phone does not sign, and what cannot be shown is not.
func TestApprovalRefusals(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	n := start(t, func(c *app.Config) { c.Database.URL = pool.Config().ConnString() })
	var user int
	if err := pool.QueryRow(t.Context(), `SELECT id FROM users WHERE username = 'akadmin'`).Scan(&user); err != nil {
		t.Fatal(err)
	}
	_, account := n.enrolledAs(phone.Options{})
	if got, _ := n.ask(user, "", payment()); got.status != 400 || !strings.Contains(got.body, `"user"`) {
		t.Errorf("a stock phone: %d %s", got.status, got.body)
	}
	bad := payment()
	bad["payee"] = "Bob\u202eeve"
	if got, _ := n.ask(user, "", bad); got.status != 400 || !strings.Contains(got.body, `"payee"`) {
		t.Errorf("text that is turned round: %d %s", got.status, got.body)
	}
	bad["payee"], bad["amount"] = "Bob", map[string]any{"value": "1.5", "currency": "EUR"}
	if got, _ := n.ask(user, "", bad); got.status != 400 || !strings.Contains(got.body, `"amount"`) {
		t.Errorf("half a cent: %d %s", got.status, got.body)
	}
	body := map[string]any{"user": user, "fields": payment()}
	for _, token := range []string{"", account.Token(), "nonsense"} {
		if got := n.call(http.MethodPost, approvals, token, body); got.status != http.StatusForbidden {
			t.Errorf("with the token %q: %d %s", token, got.status, got.body)
		}
	}
}

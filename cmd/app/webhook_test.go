package app_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/cmd/app"
	"countersign/core/dbtest"
	"countersign/mobile"
	"countersign/mobile/wire"
	"countersign/simulator/phone"
)

// delivery is what a receiver of webhooks got.
type delivery struct {
	body   []byte
	signed string
}

// receiver takes webhooks, the first with 500, and gives what it got.
func receiver(t *testing.T) (*httptest.Server, <-chan delivery) {
	t.Helper()
	got := make(chan delivery, 10)
	first := make(chan struct{}, 1)
	first <- struct{}{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		select {
		case <-first:
			w.WriteHeader(http.StatusInternalServerError)
		default:
		}
		got <- delivery{body, r.Header.Get(mobile.SignatureHeader)}
	}))
	t.Cleanup(server.Close)
	return server, got
}

func (n *node) serverKey() wire.Key {
	n.t.Helper()
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	got := n.call(http.MethodGet, "/api/v3/authenticators/mobile/server_keys/", adminToken, nil)
	if err := json.Unmarshal([]byte(got.body), &set); err != nil || len(set.Keys) != 1 {
		n.t.Fatalf("%d %s", got.status, got.body)
	}
	var one map[string]string
	if err := json.Unmarshal(set.Keys[0], &one); err != nil {
		n.t.Fatal(err)
	}
	if one["kid"] == "" || one["alg"] != "ES256" {
		n.t.Errorf("key %v", one)
	}
	jwk, err := json.Marshal(map[string]string{"crv": one["crv"], "kty": one["kty"], "x": one["x"], "y": one["y"]})
	if err != nil {
		n.t.Fatal(err)
	}
	key, err := wire.ParseKey(jwk)
	if err != nil || key.Thumbprint != one["kid"] {
		n.t.Fatalf("key %v: %v", one, err)
	}
	return key
}

// T16: an application is told how its approval ended, again after it answered 500, by something that the server signed.
func TestApprovalWebhook(t *testing.T) {
	t.Parallel()
	server, got := receiver(t)
	pool := dbtest.Pool(t)
	n := start(t, func(c *app.Config) {
		c.Database.URL, c.Worker = pool.Config().ConnString(), true
		c.Mobile.Webhooks.AllowedHosts = []string{strings.TrimPrefix(server.URL, "http://")}
	})
	p, _ := n.enrolledAs(phone.Options{Signs: true, Verifies: true})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	request := map[string]any{"username": "akadmin", "fields": payment(), "reference": "Büro <117>", "webhook": server.URL + "/hook"}
	reply, a := n.askWith("", request)
	if reply.status != 201 {
		t.Fatalf("%d %s", reply.status, reply.body)
	}
	if _, err := p.AwaitRing(ctx, func(r phone.Ring) bool { return r.TxID == a.ID }); err != nil {
		t.Fatal(err)
	}
	if err := p.Answer(ctx, a.ID, wire.ItemAccept); err != nil {
		t.Fatal(err)
	}
	key := n.serverKey()
	for range 2 { // the first is answered by 500
		var one delivery
		select {
		case one = <-got:
		case <-ctx.Done():
			t.Fatal("the application is not told")
		}
		signed, err := key.CheckOutcome(one.signed)
		if err != nil || string(signed) != string(one.body) {
			t.Fatalf("signed %s of %s: %v", one.signed, one.body, err)
		}
		var out map[string]any
		if err := json.Unmarshal(signed, &out); err != nil {
			t.Fatal(err)
		}
		if out["id"] != a.ID || out["status"] != "approved" || out["reference"] != "Büro <117>" || out["aud"] != server.URL+"/hook" ||
			out["signed_by"] != "user_verification" || out["decided"] == nil {
			t.Errorf("told %v", out)
		}
	}
	if len(got) > 0 {
		t.Error("told after it was taken")
	}
}

// A webhook into the server's own network, in the clear or with a password in it is refused, and asks nobody.
func TestApprovalWebhookRefused(t *testing.T) {
	t.Parallel()
	n, pool, user, _ := approving(t, nil)
	for _, address := range []string{
		"http://example.org/", "https://127.0.0.1/", "https://localhost/x", "https://[::1]/", "https://169.254.169.254/latest", "https://u:p@example.org/", "example.org", "https://example.org/#x",
	} {
		got, _ := n.askWith("", map[string]any{"user": user, "fields": payment(), "webhook": address})
		if got.status != 400 || !strings.Contains(got.body, `"webhook"`) {
			t.Errorf("%s: %d %s", address, got.status, got.body)
		}
	}
	for _, request := range []map[string]any{{"fields": payment()}, {"user": user, "username": "akadmin", "fields": payment()}, {"username": "nobody", "fields": payment()}} {
		if got, _ := n.askWith("", request); got.status != 400 || !strings.Contains(got.body, `"user`) {
			t.Errorf("%v: %d %s", request, got.status, got.body)
		}
	}
	var rows int
	if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM mobile_transactions`).Scan(&rows); err != nil || rows != 0 {
		t.Errorf("%d rows, %v", rows, err)
	}
}

// T16: a report is told from a refusal, what nobody answered expires with an event, and the list has both, the newest first.
func TestApprovalReportedAndExpired(t *testing.T) {
	t.Parallel()
	n, pool, user, p := approving(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, late := n.ask(user, "", payment())
	if _, err := pool.Exec(ctx, `UPDATE mobile_transactions SET expires = created WHERE tx_id = $1`, late.ID); err != nil {
		t.Fatal(err)
	}
	for range 2 { // read twice, it expires once
		if got := n.status(late.ID, ""); got.Status != "expired" || got.Decided != nil {
			t.Errorf("after its time: %+v", got)
		}
	}
	_, a := n.ask(user, "", payment())
	if _, err := p.AwaitRing(ctx, func(r phone.Ring) bool { return r.TxID == a.ID }); err != nil {
		t.Fatal(err)
	}
	if err := p.Answer(ctx, a.ID, phone.ItemReport); err != nil {
		t.Fatal(err)
	}
	if got := n.status(a.ID, ""); got.Status != "reported" || got.Decided == nil {
		t.Errorf("after the report: %+v", got)
	}
	for query, want := range map[string][]string{
		"": {a.ID, late.ID}, "?status=expired": {late.ID}, "?status=reported": {a.ID}, "?status=pending": {}, "?page_size=1&page=2": {late.ID},
	} {
		var page struct {
			Pagination struct {
				Count int `json:"count"`
			} `json:"pagination"`
			Results []approval `json:"results"`
		}
		got := n.call(http.MethodGet, approvals+query, adminToken, nil)
		if err := json.Unmarshal([]byte(got.body), &page); got.status != 200 || err != nil {
			t.Fatalf("%s: %d %s", query, got.status, got.body)
		}
		ids := []string{}
		for _, one := range page.Results {
			ids = append(ids, one.ID)
		}
		if !slices.Equal(ids, want) {
			t.Errorf("%s: %v, want %v", query, ids, want)
		}
	}
	if got := n.call(http.MethodGet, approvals+"?status=odd", adminToken, nil); got.status != 400 {
		t.Errorf("an odd status: %d %s", got.status, got.body)
	}
	if got := n.call(http.MethodGet, approvals, "", nil); got.status != http.StatusForbidden {
		t.Errorf("the list for nobody: %d %s", got.status, got.body)
	}
	for sql, want := range map[string]int{
		`SELECT count(*) FROM events WHERE action = 'custom_mobile_approval_expired' AND context->'device'->>'name' <> ''`:                                1,
		`SELECT count(*) FROM events WHERE action = 'suspicious_request' AND context->>'message' LIKE 'A transaction %' AND context->'no_login' = 'true'`: 1,
	} {
		var n int
		if err := pool.QueryRow(ctx, sql).Scan(&n); err != nil || n != want {
			t.Errorf("%s: %d, want %d (%v)", sql, n, want, err)
		}
	}
}

package fcm_test

import (
	"bytes"
	"context"
	"crypto/rsa"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"countersign/simulator/clock"
	"countersign/simulator/fcm"
)

// raw is a double with a bearer token obtained by hand.
type raw struct {
	double *fcm.Double
	clock  *clock.Virtual
	url    string
	token  string
	ctx    context.Context
}

func setupRaw(t *testing.T, o fcm.Options) raw {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	v := clock.NewVirtual(time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC))
	o.Clock = v
	d, err := fcm.New(o)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(d)
	t.Cleanup(func() { cancel(); d.Close(); srv.Close() })
	r := raw{double: d, clock: v, url: srv.URL, ctx: ctx}
	status, body := r.askToken(t, r.assertion(t, nil, nil))
	if status != 200 {
		t.Fatalf("token: %d %s", status, body)
	}
	var got struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
		TokenType   string `json:"token_type"`
	}
	if err := json.Unmarshal(body, &got); err != nil || got.ExpiresIn != 3600 || got.TokenType != "Bearer" {
		t.Fatalf("token: %s (%v)", body, err)
	}
	r.token = got.AccessToken
	return r
}

type account struct {
	PrivateKey   string `json:"private_key"`
	PrivateKeyID string `json:"private_key_id"`
	ClientEmail  string `json:"client_email"`
	TokenURI     string `json:"token_uri"`
}

// assertion signs what the SDK would, after change; with other instead of the account's key if set.
func (r raw) assertion(t *testing.T, change func(jwt.MapClaims, map[string]any), other *rsa.PrivateKey) string {
	t.Helper()
	text, err := r.double.ServiceAccount(r.url)
	if err != nil {
		t.Fatal(err)
	}
	var a account
	if err := json.Unmarshal(text, &a); err != nil {
		t.Fatal(err)
	}
	key, err := jwt.ParseRSAPrivateKeyFromPEM([]byte(a.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	if other != nil {
		key = other
	}
	now := r.clock.Now()
	claims := jwt.MapClaims{
		"iss": a.ClientEmail, "aud": a.TokenURI, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"scope": "https://www.googleapis.com/auth/datastore https://www.googleapis.com/auth/firebase.messaging",
	}
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	token.Header["kid"] = a.PrivateKeyID
	if change != nil {
		change(claims, token.Header)
	}
	signed, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func (r raw) askToken(t *testing.T, assertion string) (int, []byte) {
	t.Helper()
	res, err := http.PostForm(r.url+"/token", url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion},
	})
	if err != nil {
		t.Fatal(err)
	}
	return drain(t, res)
}

func drain(t *testing.T, res *http.Response) (int, []byte) {
	t.Helper()
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, body
}

func (r raw) do(t *testing.T, method, path, body string) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(r.ctx, method, r.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return drain(t, res)
}

func (r raw) send(t *testing.T, body string) (int, []byte) {
	t.Helper()
	return r.do(t, "POST", "/v1/projects/countersign-demo/messages:send", body)
}

type errorReply struct {
	Error struct {
		Code    int
		Status  string
		Message string
		Details []struct {
			Type            string `json:"@type"`
			ErrorCode       string
			FieldViolations []struct{ Field, Description string }
		}
	}
}

func TestRequestValidation(t *testing.T) {
	t.Parallel()
	r := setupRaw(t, fcm.Options{AcceptAny: true})
	large := strings.Repeat("x", 4090)
	for name, c := range map[string]struct {
		body  string
		field string // of the BadRequest detail; "" accepted; "FcmError" the other kind
	}{
		"least":                   {`{"message":{"token":"abcdefgh"}}`, ""},
		"camel case":              {`{"validateOnly":true,"message":{"token":"abcdefgh","android":{"collapseKey":"a","ttl":"3.5s"}}}`, ""},
		"upper case priority":     {`{"message":{"token":"abcdefgh","android":{"priority":"HIGH"}}}`, ""},
		"null is absent":          {`{"message":{"token":"abcdefgh","topic":null}}`, ""},
		"installation ID":         {`{"message":{"fid":"cABCDEFGHIJKLMNOPQRSTU"}}`, ""},
		"bad installation ID":     {`{"message":{"fid":"short"}}`, "FcmError"},
		"topic":                   {`{"message":{"topic":"news"}}`, ""},
		"condition":               {`{"message":{"condition":"'a' in topics && ('b' in topics || 'c' in topics)"}}`, ""},
		"bad topic":               {`{"message":{"topic":"/topics/news"}}`, "FcmError"},
		"bad condition":           {`{"message":{"condition":"a or b"}}`, "FcmError"},
		"no target":               {`{"message":{"data":{"a":"b"}}}`, "FcmError"},
		"two targets":             {`{"message":{"token":"abcdefgh","topic":"news"}}`, "message"},
		"token with a space":      {`{"message":{"token":"abc defgh"}}`, "FcmError"},
		"not JSON":                {`{"message":`, "message"},
		"text after":              {`{"message":{"token":"abcdefgh"}} {}`, "message"},
		"list":                    {`[]`, "message"},
		"no message":              {`{}`, "message"},
		"unknown name":            {`{"message":{"token":"abcdefgh","to":"x"}}`, "message"},
		"unknown name in android": {`{"message":{"token":"abcdefgh","android":{"colour":"x"}}}`, "message.android"},
		"data not text":           {`{"message":{"token":"abcdefgh","data":{"a":1}}}`, "message.data"},
		"reserved from":           {`{"message":{"token":"abcdefgh","data":{"from":"x"}}}`, "message.data"},
		"reserved google.":        {`{"message":{"token":"abcdefgh","data":{"google.x":"x"}}}`, "message.data"},
		"reserved gcm":            {`{"message":{"token":"abcdefgh","data":{"gcm":"x"}}}`, "message.data"},
		"reserved in android":     {`{"message":{"token":"abcdefgh","android":{"data":{"message_type":"x"}}}}`, "message.android.data"},
		"ttl as number":           {`{"message":{"token":"abcdefgh","android":{"ttl":60}}}`, "message.android.ttl"},
		"ttl in minutes":          {`{"message":{"token":"abcdefgh","android":{"ttl":"1m"}}}`, "message.android.ttl"},
		"ttl negative":            {`{"message":{"token":"abcdefgh","android":{"ttl":"-1s"}}}`, "message.android.ttl"},
		"ttl four weeks":          {`{"message":{"token":"abcdefgh","android":{"ttl":"2419200s"}}}`, ""},
		"ttl too long":            {`{"message":{"token":"abcdefgh","android":{"ttl":"2419201s"}}}`, "message.android.ttl"},
		"priority":                {`{"message":{"token":"abcdefgh","android":{"priority":"urgent"}}}`, "message.android.priority"},
		"apns priority":           {`{"message":{"token":"abcdefgh","apns":{"headers":{"apns-priority":"7"}}}}`, "message.apns.headers"},
		"apns background at 10":   {`{"message":{"token":"abcdefgh","apns":{"headers":{"apns-priority":"10","apns-push-type":"background"}}}}`, "FcmError"},
		"webpush TTL":             {`{"message":{"token":"abcdefgh","webpush":{"headers":{"TTL":"soon"}}}}`, "message.webpush.headers"},
		"4096 bytes":              {`{"message":{"token":"abcdefgh","data":{"abcdef":"` + large + `"}}}`, ""},
		"4097 bytes":              {`{"message":{"token":"abcdefgh","data":{"abcdefg":"` + large + `"}}}`, "FcmError"},
		"half for topics":         {`{"message":{"topic":"news","data":{"a":"` + large[:2048] + `"}}}`, "FcmError"},
		"over the request limit":  {`{"message":{"token":"abcdefgh","data":{"a":"` + strings.Repeat("x", 70<<10) + `"}}}`, "message"},
	} {
		status, body := r.send(t, c.body)
		if c.field == "" {
			if status != 200 || !bytes.Contains(body, []byte(`"name":"projects/countersign-demo/messages/`)) {
				t.Errorf("%s: %d %s", name, status, body)
			}
			continue
		}
		var got errorReply
		if err := json.Unmarshal(body, &got); err != nil || status != 400 || got.Error.Code != 400 || got.Error.Status != "INVALID_ARGUMENT" || len(got.Error.Details) != 1 {
			t.Errorf("%s: %d %s (%v)", name, status, body, err)
			continue
		}
		detail := got.Error.Details[0]
		switch {
		case c.field == "FcmError":
			if detail.ErrorCode != "INVALID_ARGUMENT" || !strings.HasSuffix(detail.Type, "google.firebase.fcm.v1.FcmError") {
				t.Errorf("%s: %s", name, body)
			}
		case len(detail.FieldViolations) != 1 || detail.FieldViolations[0].Field != c.field || !strings.HasSuffix(detail.Type, "google.rpc.BadRequest"):
			t.Errorf("%s: %s, want field %s", name, body, c.field)
		}
	}
}

func TestLatencyHoldsTheAnswer(t *testing.T) {
	t.Parallel()
	r := setupRaw(t, fcm.Options{AcceptAny: true})
	if err := r.double.SetConditions(fcm.Conditions{Latency: fcm.Duration(3 * time.Second)}); err != nil {
		t.Fatal(err)
	}
	done := make(chan int, 1)
	go func() {
		req, _ := http.NewRequestWithContext(r.ctx, http.MethodPost, r.url+"/v1/projects/countersign-demo/messages:send", strings.NewReader(`{"message":{"token":"abcdefgh"}}`))
		req.Header.Set("Authorization", "Bearer "+r.token)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			done <- 0
			return
		}
		res.Body.Close()
		done <- res.StatusCode
	}()
	r.clock.Await(1)
	if n := len(r.double.History(fcm.Filter{})); n != 0 {
		t.Error("answered before its latency")
	}
	r.clock.Advance(3 * time.Second)
	if status := <-done; status != 200 {
		t.Errorf("status %d", status)
	}
}

func TestOutageAndCutConnections(t *testing.T) {
	t.Parallel()
	r := setupRaw(t, fcm.Options{AcceptAny: true})
	now := r.clock.Now()
	err := r.double.SetConditions(fcm.Conditions{Outages: []fcm.Outage{
		{From: now.Add(time.Minute), Until: now.Add(2 * time.Minute), Token: true, RetryAfter: fcm.Duration(1500 * time.Millisecond)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	const body = `{"message":{"token":"abcdefgh"}}`
	for _, want := range []int{200, 503, 200} {
		if status, text := r.send(t, body); status != want {
			t.Errorf("%d %s, want %d", status, text, want)
		}
		if status, text := r.askToken(t, r.assertion(t, nil, nil)); status != want {
			t.Errorf("token: %d %s, want %d", status, text, want)
		}
		r.clock.Advance(time.Minute)
	}
	if err := r.double.SetScript("abcdefgh", fcm.Script{Steps: []fcm.Step{{Error: fcm.Reset}}}); err != nil {
		t.Fatal(err)
	}
	req, _ := http.NewRequestWithContext(r.ctx, http.MethodPost, r.url+"/v1/projects/countersign-demo/messages:send", strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+r.token)
	if res, err := http.DefaultClient.Do(req); err == nil {
		t.Errorf("reset: answered %s", res.Status)
	}
}

func TestErrorRateFollowsTheSeed(t *testing.T) {
	t.Parallel()
	outcome := func() string {
		r := setupRaw(t, fcm.Options{AcceptAny: true, Seed: 7})
		if err := r.double.SetConditions(fcm.Conditions{ErrorRate: 0.5}); err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for range 40 {
			status, _ := r.send(t, `{"message":{"token":"abcdefgh"}}`)
			b.WriteByte(byte('0' + status/100))
		}
		return b.String()
	}
	first := outcome()
	if fails := strings.Count(first, "5"); fails < 10 || fails > 30 {
		t.Errorf("%d of 40 fail", fails)
	}
	if second := outcome(); second != first {
		t.Errorf("same seed, other outcome:\n%s\n%s", first, second)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	r := setupRaw(t, fcm.Options{AcceptAny: true, History: 3})
	for _, mark := range []string{"a", "b", "c", "d", "e"} {
		r.push(t, "60s", "", mark)
	}
	records := r.double.History(fcm.Filter{})
	if len(records) != 3 || records[0].Seq != 3 || records[2].Seq != 5 {
		t.Errorf("%+v", records)
	}
	if last := r.double.History(fcm.Filter{Limit: 1}); len(last) != 1 || last[0].Seq != 5 {
		t.Errorf("%+v", last)
	}
}

func TestControlEndpointsAndClient(t *testing.T) {
	t.Parallel()
	r := setupRaw(t, fcm.Options{})
	c := &fcm.Client{Base: r.url, HTTP: http.DefaultClient, Clock: r.clock}
	address, err := c.Register(r.ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	messages, err := c.Subscribe(r.ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetScript(r.ctx, address, fcm.Script{Steps: []fcm.Step{{Error: fcm.Unavailable}}}); err != nil {
		t.Fatal(err)
	}
	body := `{"message":{"token":"` + address + `","data":{"m":"hello"}}}`
	for _, want := range []int{503, 200} {
		if status, text := r.send(t, body); status != want {
			t.Errorf("%d %s, want %d", status, text, want)
		}
	}
	if m := <-messages; m.Data["m"] != "hello" || m.Address != address {
		t.Errorf("received %+v", m)
	}
	records, err := c.History(r.ctx, fcm.Filter{Address: address, After: 1})
	if err != nil || len(records) != 1 || records[0].Delivery != fcm.Delivered {
		t.Errorf("history %+v (%v)", records, err)
	}
	if err := c.SetConditions(r.ctx, fcm.Conditions{ErrorRate: 2}); err == nil {
		t.Error("an error rate of 2 is taken")
	}
	if status, _ := r.do(t, "PUT", "/-/conditions", `{"latencey":"1s"}`); status != 400 {
		t.Errorf("misspelt condition: %d", status)
	}
	if status, _ := r.do(t, "DELETE", "/-/addresses/"+url.PathEscape(address), ""); status != 204 {
		t.Errorf("unregister: %d", status)
	}
	if status, _ := r.send(t, body); status != 404 {
		t.Errorf("unregistered: %d", status)
	}
	if status, _ := r.do(t, "POST", "/-/tokens/revoke", ""); status != 204 {
		t.Errorf("revoke: %d", status)
	}
	if status, _ := r.send(t, body); status != 401 {
		t.Errorf("revoked: %d", status)
	}
	if status, _ := r.do(t, "POST", "/-/reset", ""); status != 204 || len(r.double.History(fcm.Filter{})) != 0 {
		t.Errorf("reset: %d", status)
	}
	if _, page := r.do(t, "GET", "/-/", ""); !bytes.Contains(page, []byte("PUT /-/conditions")) {
		t.Errorf("page: %s", page)
	}
	req, _ := http.NewRequestWithContext(r.ctx, http.MethodPost, r.url+"/-/reset", nil)
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := drain(t, res); status != 403 {
		t.Errorf("a foreign web page may reset: %d", status)
	}
}

func FuzzSend(f *testing.F) {
	d, err := fcm.New(fcm.Options{AcceptAny: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"validate_only":true,"message":{"token":"abcdefgh","data":{"a":"b"},"android":{"ttl":"3.5s","priority":"high"}}}`))
	f.Add([]byte(`{"message":{"condition":"'a' in topics","apns":{"headers":{"apns-expiration":"0"},"payload":{"aps":{}}}}}`))
	srv := httptest.NewServer(d)
	f.Cleanup(srv.Close)
	token := bearer(f, d, srv.URL)
	f.Fuzz(func(t *testing.T, body []byte) {
		req := httptest.NewRequest(http.MethodPost, "/v1/projects/countersign-demo/messages:send", bytes.NewReader(body))
		req.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		d.ServeHTTP(w, req)
		if w.Code != 200 && w.Code != 400 || !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%q: %d %s", body, w.Code, w.Body)
		}
	})
}

package sms

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"countersign/authenticators"
	"countersign/authenticators/validate"
	"countersign/core/user"
	"countersign/core/user/usertest"
	"countersign/flows"
	"countersign/flows/flowtest"
)

// received is one message as a provider got it.
type received struct {
	Path, Host, Auth string
	To, From, Text   string
	Code             string
}

// provider plays Twilio's API and a generic one.
type provider struct {
	*httptest.Server
	mu     sync.Mutex
	got    []received
	status int                                      // 0: success
	body   string                                   // of a refusal
	answer func(http.ResponseWriter, *http.Request) // instead of all that
}

func newProvider(t testing.TB) *provider {
	t.Helper()
	p := &provider{}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, _ := io.ReadAll(r.Body)
	got := received{Path: r.URL.Path, Host: r.Host, Auth: r.Header.Get("Authorization")}
	if strings.HasSuffix(r.URL.Path, "/Messages.json") {
		form, _ := url.ParseQuery(string(raw))
		got.To, got.From, got.Text = form.Get("To"), form.Get("From"), form.Get("Body")
		_, after, _ := strings.Cut(got.Text, ": ")
		got.Code = after[:min(len(after), codeDigits)]
	} else {
		var in struct{ From, To, Body, Message string }
		_ = json.Unmarshal(raw, &in)
		got.To, got.From, got.Text, got.Code = in.To, in.From, in.Message, in.Body
	}
	p.mu.Lock()
	p.got = append(p.got, got)
	status, body, answer := p.status, p.body, p.answer
	p.mu.Unlock()
	switch {
	case answer != nil:
		answer(w, r)
	case status != 0:
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	default:
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"sid":"SM0","status":"queued"}`)
	}
}

func (p *provider) refuse(status int, body string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status, p.body = status, body
}

func (p *provider) sent() []received {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]received(nil), p.got...)
}

// last is the newest message to a number.
func (p *provider) last(t testing.TB, to string) received {
	t.Helper()
	all := p.sent()
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].To == to {
			return all[i]
		}
	}
	t.Fatalf("nothing was sent to %s: %+v", to, all)
	return received{}
}

// bench is a server with a provider, a set-up flow and a login flow.
type bench struct {
	*flowtest.Bench
	provider *provider
	service  *Service
	stage    uuid.UUID
	passed   *flowtest.Marker
}

const (
	setupSlug  = "setup"
	loginSlug  = "login"
	markerName = "marker"
	numberOne  = "+447700900123"
	numberTwo  = "+447700900456"
)

func (p *provider) service(b *flowtest.Bench, l Limits) *Service {
	return New(Options{Pool: b.Pool, Keeper: b.Keeper, Events: b.Events, Limits: l, Now: b.Clock.Now, TwilioURL: p.URL})
}

func setUp(t testing.TB, change func(*Settings)) *bench {
	t.Helper()
	b := &bench{provider: newProvider(t), passed: &flowtest.Marker{}}
	b.Bench = flowtest.New(t, func(fb *flowtest.Bench) []*flows.Kind {
		b.service = b.provider.service(fb, Limits{})
		store := authenticators.NewStore(b.service.Kind())
		return []*flows.Kind{b.service.StageKind(), validate.Kind(store, fb.Users, fb.Keeper), b.passed.Kind(markerName)}
	})
	settings := generic(b.provider)
	if change != nil {
		change(&settings)
	}
	b.stage = b.Stage(t, kindName, settings)
	b.Flow(t, setupSlug, nil, flowtest.Step{Stage: b.stage}, flowtest.Step{Kind: markerName})
	b.Flow(t, loginSlug, nil, flowtest.Step{Kind: "authenticatorvalidatestage", Settings: map[string]any{
		"not_configured_action": "deny", "device_classes": []string{"sms"}, "last_auth_threshold": "seconds=0",
	}}, flowtest.Step{Kind: markerName})
	return b
}

// generic are settings as they stand in a row that was written by hand: the secrets are not sealed.
func generic(p *provider) Settings {
	return Settings{
		Provider: Generic, FromNumber: "Countersign", AccountSID: p.URL + "/send", Auth: "me", AuthPassword: "secret-word", AuthType: Basic,
	}
}

func (b *bench) user(t testing.TB, name string) *user.User { return usertest.Add(t, b.Users, name, "") }

// start plans a flow for a user in a browser of its own.
func (b *bench) start(t testing.TB, slug string, u *user.User) *flowtest.Browser {
	t.Helper()
	br := b.Browser(slug)
	b.Start(t, br, slug, flows.Context{PendingUser: u.ID})
	return br
}

// enrol sets a number up for a user.
func (b *bench) enrol(t testing.TB, u *user.User, number string) (device string) {
	t.Helper()
	br := b.start(t, setupSlug, u)
	br.Get(t).Want(t, Component)
	if p := br.Post(t, map[string]any{"phone_number": number}); p.JSON["phone_number_required"] != false || p.JSON["response_errors"] != nil {
		t.Fatalf("send: %s", p)
	}
	br.Post(t, map[string]any{"code": b.provider.last(t, number).Code}).WantContinue(t)
	if err := b.Direct.QueryRow(t.Context(), `SELECT max(id)::text FROM sms_devices WHERE user_id = $1`, u.ID).Scan(&device); err != nil {
		t.Fatal(err)
	}
	b.Clock.Advance(b.service.Limits.Gap)
	return device
}

func selectBody(device string) map[string]any {
	return map[string]any{"selected_challenge": map[string]any{"device_class": Class, "device_uid": device, "challenge": map[string]any{}}}
}

func (b *bench) events(t testing.TB, action string) int {
	t.Helper()
	return b.Count(t, `SELECT count(*) FROM events WHERE action = $1 AND app = $2`, action, app)
}

// other is a code that is not that one.
func other(code string) string {
	if code[0] == '9' {
		return "0" + code[1:]
	}
	return string(code[0]+1) + code[1:]
}

// allProviders are the providers of a suite's benches.
type allProviders struct {
	mu sync.Mutex
	m  map[*flowtest.Bench]*provider
}

func (f *allProviders) of(t testing.TB, b *flowtest.Bench) *provider {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.m == nil {
		f.m = map[*flowtest.Bench]*provider{}
	}
	if f.m[b] == nil {
		f.m[b] = newProvider(t)
	}
	return f.m[b]
}

// hang answers when it is released, or the caller is gone.
func hang(release <-chan struct{}) func(http.ResponseWriter, *http.Request) {
	return func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}
}

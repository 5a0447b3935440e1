package duo

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	duoapi "github.com/duosecurity/duo_api_golang"
	"github.com/google/uuid"

	"countersign/core/secret"
)

type tripper func(*http.Request) (*http.Response, error)

func (t tripper) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

func against(t testing.TB, transport http.RoundTripper) (*Service, *Stage) {
	t.Helper()
	k, err := secret.New(strings.Repeat("k", secret.MinKey))
	if err != nil {
		t.Fatal(err)
	}
	s := New(Options{Keeper: k, Transport: transport})
	return s, &Stage{id: uuid.New(), service: s, settings: Settings{ClientID: clientID, ClientSecret: clientSecret, APIHostname: "duo.test"}}
}

// The library's request is signed as Duo's documentation says; another secret, or another host, is refused.
func TestSignature(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	s, st := against(t, c.Client().Transport)
	st.settings.APIHostname = c.host()
	if got := s.begin(t.Context(), st, nil); got.err != nil || got.tx == "" {
		t.Errorf("the right secret: %+v", got)
	}
	st.settings.ClientSecret = "another"
	var e *apiError
	if got := s.begin(t.Context(), st, nil); !errors.As(got.err, &e) || e.Code != 40103 {
		t.Errorf("another secret: %+v", got)
	}
}

func TestClientIsBounded(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then the server notices that the client is gone
		switch {
		case strings.HasPrefix(r.Host, "hang"):
			<-r.Context().Done()
			close(gone)
		case strings.HasPrefix(r.Host, "away"):
			http.Redirect(w, r, "https://elsewhere.test/", http.StatusTemporaryRedirect)
		case strings.HasPrefix(r.Host, "busy"):
			w.WriteHeader(http.StatusTooManyRequests)
		case strings.HasPrefix(r.Host, "flood"):
			w.Write([]byte(`{"stat":"OK","response":{"txid":"`))
			for range 80 {
				w.Write(bytes.Repeat([]byte("x"), 100<<10))
			}
			w.Write([]byte(`"}}`))
		}
	}))
	t.Cleanup(server.Close)
	// Whatever the name, it is our server.
	transport := tripper(func(r *http.Request) (*http.Response, error) {
		host := r.URL.Host
		r = r.Clone(r.Context())
		r.Host, r.URL.Host = host, strings.TrimPrefix(server.URL, "https://")
		return server.Client().Transport.RoundTrip(r)
	})
	s, st := against(t, transport)
	for host, want := range map[string]string{"hang.test": "deadline exceeded", "away.test": "read Duo's answer", "busy.test": "429", "flood.test": "read Duo's answer"} {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		st.settings.APIHostname = host
		if got := s.begin(ctx, st, nil); got.err == nil || !strings.Contains(got.err.Error(), want) {
			t.Errorf("%s: %+v", host, got.err)
		}
		cancel()
	}
	<-gone
}

// The pinned transport of the library is the one in use, and it trusts no other certificates.
func TestTransportTrustsDuoAlone(t *testing.T) {
	t.Parallel()
	tr, ok := newTransport().(*http.Transport)
	if !ok || tr.TLSClientConfig == nil || tr.TLSClientConfig.RootCAs == nil || tr.TLSClientConfig.InsecureSkipVerify || tr.TLSHandshakeTimeout == 0 {
		t.Fatalf("%+v", tr)
	}
	c := newCloud(t)
	s, st := against(t, tr)
	st.settings.APIHostname = c.host()
	if got := s.begin(t.Context(), st, nil); got.err == nil || !strings.Contains(got.err.Error(), "certificate") {
		t.Errorf("a stranger's certificate: %+v", got)
	}
}

func TestBarcode(t *testing.T) {
	t.Parallel()
	for in, want := range map[activation]string{
		{"duo://a-b", "https://api.duo.test/frame/qr?value=a-b"}:             "a-b",
		{"duo://a-b", "https://api.duo.test/frame/qr?value=duo%3A%2F%2Fa-b"}: "duo://a-b",
		{"duo://a-b", "https://api.duo.test/frame/qr"}:                       "duo://a-b",
		{"duo://a-b", "://"}: "duo://a-b",
		{"duo://a-b", "https://api.duo.test/?value=" + strings.Repeat("x", maxBarcode+1)}: "duo://a-b",
	} {
		if got := inBarcode(in); got != want {
			t.Errorf("%+v: %q, want %q", in, got, want)
		}
	}
}

func FuzzHostname(f *testing.F) {
	for _, seed := range []string{"api-1.duosecurity.com", "127.0.0.1:8443", "a@b", "a/b", "a?b", "a#b", "[::1]", "a:99999", "a\nb", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, host string) {
		if !hostname.MatchString(host) {
			return
		}
		r, err := http.NewRequest(http.MethodGet, "https://"+host+"/auth/v2/check", nil)
		if err != nil {
			return // a port out of range
		}
		if r.URL.Host != host || r.URL.Path != "/auth/v2/check" || r.URL.User != nil {
			t.Fatalf("%q makes %q", host, r.URL)
		}
	})
}

// Whatever Duo answers, it is a word, a transaction or an error.
func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{
		`{"stat":"OK","response":{"txid":"a"}}`, `{"stat":"OK","response":{"result":"allow","status":"allow","status_msg":"x"}}`,
		`{"stat":"FAIL","code":40002,"message":"m","message_detail":"d"}`, `{"stat":"FAIL","code":"x"}`, `{"stat":"OK","response":null}`,
		`{"stat":"OK","response":"success"}`, `{"stat":"OK","response":[{"username":"a","user_id":"b"}],"metadata":{"next_offset":-1}}`, `{`, ``, `null`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		s, st := against(t, tripper(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body)), Request: r}, nil
		}))
		r := s.begin(t.Context(), st, nil)
		if r.err == nil && r.tx == "" && (r.word == nil || r.word.Result == "") {
			t.Fatalf("%q is nothing: %+v", body, r)
		}
		if r.err != nil && (len(r.err.Error()) > 4096 || !utf8.ValidString(r.err.Error())) {
			t.Fatalf("%q makes a bad error: %q", body, r.err)
		}
		if status, err := st.status(t.Context(), &enrolment{}); err == nil && status != statusSuccess && status != statusWaiting && status != statusInvalid {
			t.Fatalf("%q is the status %q", body, status)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if r := s.authStatus(ctx, st, "tx"); r.tx != "" {
			t.Fatalf("%q makes a transaction", body)
		}
	})
}

func TestOutcome(t *testing.T) {
	t.Parallel()
	message, detail := strings.Repeat("m", 10_000), "d"
	err := outcome(duoapi.StatResult{Stat: "FAIL", Message: &message, Message_Detail: &detail}, nil)
	if err == nil || len(err.Error()) > 2*maxText {
		t.Errorf("%v", err)
	}
	if err := outcome(duoapi.StatResult{}, nil); err == nil {
		t.Error("an empty answer is a success")
	}
}

package webpush

import (
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"countersign/mobile/wire"
	"countersign/simulator/clock"
	"countersign/simulator/control"
	"countersign/simulator/fcm"
	"countersign/simulator/inbox"
)

const (
	maxBody  = 4096
	maxTTL   = 28 * 24 * time.Hour
	maxToken = 24 * time.Hour // RFC 8292 §2
)

// Options of a Double. The zero value is usable.
type Options struct {
	Base    string           // at which this handler is reached, "http://127.0.0.1:9199"; SetBase says it later
	Channel wire.PushChannel // how phones name it; default webpush
	NeedKey bool             // make no subscription without an application server key, as some services
	Clock   clock.Clock      // default the wall clock
	History int              // sends remembered; default 2000
}

// Double is the push service. It is an http.Handler and safe for concurrent use.
type Double struct {
	*inbox.Box
	o   Options
	mux *http.ServeMux

	mu   sync.Mutex
	base string
	key  func() string
	subs map[string]*subscription // by id
}

// subscription is one with its secrets, as the browser keeps them.
type subscription struct {
	wire.Subscription
	id      string
	private *ecdh.PrivateKey
	auth    []byte
	server  string // the key of the sender that it is bound to; "" is any
}

// New makes a double.
func New(o Options) *Double {
	if o.Channel == "" {
		o.Channel = wire.ChannelWebPush
	}
	d := &Double{Box: inbox.New(o.Clock, o.History), o: o, mux: http.NewServeMux(), base: strings.TrimSuffix(o.Base, "/"), subs: map[string]*subscription{}}
	d.mux.HandleFunc("POST /push/{id}", d.push)
	if o.Channel == wire.ChannelUnifiedPush {
		d.mux.HandleFunc("GET /push/{id}", func(w http.ResponseWriter, _ *http.Request) {
			control.Write(w, http.StatusOK, map[string]any{"unifiedpush": map[string]int{"version": 1}})
		})
	}
	d.mux.Handle("POST /-/subscriptions", http.NewCrossOriginProtection().Handler(http.HandlerFunc(d.postSubscription)))
	d.mux.HandleFunc("GET /-/{$}", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "A double of a Web Push service (RFC 8030, 8291, 8292).\n\nPOST   /-/subscriptions {\"application_server_key\"}\n"+
			"GET    /-/history\nPUT    /-/addresses/{id}/fault {}\nPOST   /-/faults {\"faults\": [{\"status\", \"retry_after\", \"hang\", \"reset\", \"lose\"}]}\nPUT    /-/fault {}\n"+
			"POST   /-/forbidden {\"texts\": []}\nDELETE /-/addresses/{id}\nGET    /-/addresses/{id}/messages\nPOST   /-/reset\n")
	})
	d.Control(d.mux)
	return d
}

// ServeHTTP serves the push service and, under /-/, its controls.
func (d *Double) ServeHTTP(w http.ResponseWriter, r *http.Request) { d.mux.ServeHTTP(w, r) }

// SetBase says at which URL the handler is reached.
func (d *Double) SetBase(base string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.base = strings.TrimSuffix(base, "/")
}

// Bind has Register subscribe with that key of the server, asked for each time.
func (d *Double) Bind(key func() string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.key = key
}

var errNeedKey = errors.New("webpush double: the application server key is missing")

// NewSubscription makes what a browser gets from pushManager.subscribe; messages are then taken by that key alone, or with
// "" by any.
func (d *Double) NewSubscription(applicationServerKey string) (wire.Subscription, error) {
	if applicationServerKey == "" && d.o.NeedKey {
		return wire.Subscription{}, errNeedKey
	}
	private, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return wire.Subscription{}, fmt.Errorf("make subscription: %w", err)
	}
	s := &subscription{id: rand.Text(), private: private, auth: make([]byte, 16), server: applicationServerKey}
	rand.Read(s.auth)
	if err := d.Open(s.id); err != nil {
		return wire.Subscription{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.base == "" {
		return wire.Subscription{}, errors.New("webpush double: no base URL")
	}
	s.Endpoint = d.base + "/push/" + s.id
	s.Keys = wire.SubscriptionKeys{
		P256dh: base64.RawURLEncoding.EncodeToString(private.PublicKey().Bytes()), Auth: base64.RawURLEncoding.EncodeToString(s.auth),
	}
	d.subs[s.id] = s
	return s.Subscription, nil
}

func (d *Double) postSubscription(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Key string `json:"application_server_key"`
	}
	if !control.Read(w, r, &in) {
		return
	}
	d.mu.Lock()
	if d.base == "" {
		scheme := "http://"
		if r.TLS != nil {
			scheme = "https://"
		}
		d.base = scheme + r.Host
	}
	d.mu.Unlock()
	s, err := d.NewSubscription(in.Key)
	if errors.Is(err, errNeedKey) {
		control.Fail(w, http.StatusBadRequest, err)
		return
	}
	if err != nil {
		control.Fail(w, http.StatusInternalServerError, err)
		return
	}
	control.Write(w, http.StatusCreated, s)
}

// ID is the name by which the controls know a subscription: the last part of its endpoint.
func ID(s wire.Subscription) string { return s.Endpoint[strings.LastIndexByte(s.Endpoint, '/')+1:] }

// Register gives a phone a fresh subscription, in the JSON form of an address; any that it had is its own affair.
func (d *Double) Register(context.Context, string) (string, error) {
	d.mu.Lock()
	ask := d.key
	d.mu.Unlock()
	key := "" // any
	if ask != nil {
		key = ask()
	}
	s, err := d.NewSubscription(key)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(s)
	return string(text), err
}

// Subscribe connects a phone to the subscription that is its address.
func (d *Double) Subscribe(ctx context.Context, address string) (<-chan fcm.Message, error) {
	var s wire.Subscription
	if err := json.Unmarshal([]byte(address), &s); err != nil {
		return nil, fmt.Errorf("webpush double: %w", err)
	}
	return d.Box.Subscribe(ctx, ID(s))
}

// PushKey is how a phone tells its server of the address.
func (d *Double) PushKey(address string) wire.PushKey {
	var s wire.Subscription
	_ = json.Unmarshal([]byte(address), &s) // what is no subscription the server refuses
	return wire.PushKey{FirebaseKey: s.Endpoint, Channel: d.o.Channel, Subscription: &s}
}

var topicForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

// push answers POST /push/{id}.
func (d *Double) push(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return
	}
	id := r.PathValue("id")
	record := inbox.Record{Address: id, Headers: map[string]string{}}
	for _, name := range []string{"TTL", "Urgency", "Topic", "Content-Encoding", "Content-Type"} {
		if v := r.Header.Get(name); v != "" {
			record.Headers[name] = v
		}
	}
	answer := func(status int, reason string) {
		record.Status, record.Reason = status, reason
		d.Note(record)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, reason) //nolint:gosec // G705: our own fixed words
	}
	fault := d.Next(id)
	if fault != nil && (fault.Hang || fault.Reset) {
		d.Note(record)
	}
	if d.Meet(w, r, fault, answer) {
		return
	}
	d.mu.Lock()
	s := d.subs[id]
	base := d.base
	d.mu.Unlock()
	if status, reason := d.judge(r, s, base, body); reason != "" {
		answer(status, reason)
		return
	}
	var m fcm.Message
	plain, err := s.decrypt(body)
	if err == nil {
		record.Plain = string(plain)
		err = json.Unmarshal(plain, &m)
	}
	if err != nil {
		record.Leaks = []string{"cannot be read: " + err.Error()} // the original cannot read it either
	} else {
		record.Leaks = d.Leaks(m)
	}
	ttl, _ := strconv.Atoi(r.Header.Get("TTL")) // judged
	m.Address, m.High, m.CollapseKey = id, r.Header.Get("Urgency") == "high", r.Header.Get("Topic")
	m.Expires = d.Now().Add(min(time.Duration(ttl)*time.Second, maxTTL))
	w.Header().Set("Location", base+"/message/"+rand.Text())
	w.Header().Set("TTL", strconv.Itoa(ttl))
	answer(http.StatusCreated, "")
	if err == nil && (fault == nil || !fault.Lose) {
		d.Deliver(id, m.CollapseKey, m)
	}
}

// judge says what is wrong with a send, in the order that the package comment draws.
func (d *Double) judge(r *http.Request, s *subscription, base string, body []byte) (int, string) {
	sender, err := d.authenticate(r.Header.Get("Authorization"), base)
	if err != nil {
		return http.StatusUnauthorized, err.Error()
	}
	if s != nil && s.server != "" && s.server != sender {
		return http.StatusForbidden, "the subscription was made with another key"
	}
	if _, err := strconv.ParseUint(r.Header.Get("TTL"), 10, 31); err != nil {
		return http.StatusBadRequest, "TTL is missing or no number"
	}
	switch r.Header.Get("Urgency") {
	case "", "very-low", "low", "normal", "high":
	default:
		return http.StatusBadRequest, "Urgency is none of the four"
	}
	if topic := r.Header.Values("Topic"); len(topic) > 0 && !topicForm.MatchString(topic[0]) {
		return http.StatusBadRequest, "Topic is not 1 to 32 characters of base64url"
	}
	if len(body) > 0 && r.Header.Get("Content-Encoding") != "aes128gcm" {
		return http.StatusUnsupportedMediaType, "Content-Encoding is not aes128gcm"
	}
	if len(body) > maxBody {
		return http.StatusRequestEntityTooLarge, "more than 4096 bytes"
	}
	if len(body) == 0 && d.o.Channel == wire.ChannelUnifiedPush {
		return http.StatusBadRequest, "a UnifiedPush message has 1 byte at least"
	}
	if s == nil {
		return http.StatusNotFound, "no such subscription"
	}
	if known, _ := d.Known(s.id); !known {
		return http.StatusGone, "the subscription is over"
	}
	return 0, ""
}

// authenticate checks the vapid header (RFC 8292 §3) and gives the sender's key.
func (d *Double) authenticate(header, base string) (string, error) {
	rest, found := strings.CutPrefix(header, "vapid ")
	if !found {
		return "", errors.New("no vapid authorization")
	}
	params := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		params[name] = value
	}
	point, err := base64.RawURLEncoding.DecodeString(params["k"])
	if err != nil {
		return "", errors.New("k is not base64url")
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return "", errors.New("k is no point on P-256")
	}
	token, err := jwt.ParseSigned(params["t"], []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return "", errors.New("t is no JWT by ES256")
	}
	var claims struct {
		Audience string `json:"aud"`
		Expires  int64  `json:"exp"`
		Subject  string `json:"sub"`
	}
	if err := token.Claims(key, &claims); err != nil {
		return "", errors.New("t is not signed by k")
	}
	origin, err := url.Parse(base)
	if err != nil || claims.Audience != origin.Scheme+"://"+origin.Host {
		return "", errors.New("aud is not this origin")
	}
	left := time.Unix(claims.Expires, 0).Sub(d.Now())
	if left <= 0 || left > maxToken {
		return "", errors.New("exp is over, or more than 24 hours away")
	}
	if claims.Subject != "" && !strings.HasPrefix(claims.Subject, "mailto:") && !strings.HasPrefix(claims.Subject, "https:") {
		return "", errors.New("sub is neither a mailto: nor an https: URL")
	}
	return params["k"], nil
}

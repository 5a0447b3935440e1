package apns

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
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
	maxPayload  = 4096
	maxCollapse = 64
	tokenLife   = time.Hour
	longest     = 30 * 24 * time.Hour // that a notification is stored
)

// Options of a Double. The zero value is usable.
type Options struct {
	KeyID, Team, Topic string      // what the server is configured with; defaults of ten characters, and org.example.countersign
	Key                string      // text of a .p8 file that Key gave earlier; default a fresh one
	KeepAll            bool        // store all notifications for a phone that is offline; the original keeps the newest
	Clock              clock.Clock // default the wall clock
	History            int         // sends remembered; default 2000
}

// Double is the push service. It is an http.Handler and safe for concurrent use.
type Double struct {
	*inbox.Box
	o   Options
	key *ecdsa.PrivateKey
	mux *http.ServeMux
}

// New makes a double with a key of its own.
func New(o Options) (*Double, error) {
	for _, f := range []struct {
		field *string
		value string
	}{{&o.KeyID, "SIMULATED1"}, {&o.Team, "SIMULATED2"}, {&o.Topic, "org.example.countersign"}} {
		if *f.field == "" {
			*f.field = f.value
		}
	}
	key, err := readKey(o.Key)
	if err != nil {
		return nil, err
	}
	d := &Double{Box: inbox.New(o.Clock, o.History), o: o, key: key, mux: http.NewServeMux()}
	d.mux.HandleFunc("POST /3/device/{token}", d.push)
	d.mux.HandleFunc("/3/device/{token}", func(w http.ResponseWriter, _ *http.Request) { refuse(w, MethodNotAllowed, time.Time{}) })
	d.mux.HandleFunc("/3/device/{$}", func(w http.ResponseWriter, _ *http.Request) { refuse(w, MissingDeviceToken, time.Time{}) })
	d.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { refuse(w, BadPath, time.Time{}) })
	d.mux.Handle("POST /-/addresses", http.NewCrossOriginProtection().Handler(http.HandlerFunc(d.postAddress)))
	d.mux.HandleFunc("GET /-/{$}", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, page()) })
	d.Control(d.mux)
	return d, nil
}

// readKey reads a .p8 file, or makes a key where there is none.
func readKey(p8 string) (*ecdsa.PrivateKey, error) {
	if p8 == "" {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("make key: %w", err)
		}
		return key, nil
	}
	block, _ := pem.Decode([]byte(p8))
	if block == nil {
		return nil, errors.New("read key: no PEM block")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("read key: it is no key on P-256")
	}
	return key, nil
}

func page() string {
	text := "A double of the Apple Push Notification service.\n\nPOST   /3/device/{token}\nPOST   /-/addresses {\"address\": \"\"}\nGET    /-/history\n" +
		"POST   /-/faults {\"faults\": [{\"reason\", \"status\", \"retry_after\", \"hang\", \"reset\", \"lose\"}]}\nPUT    /-/fault {}\n" +
		"PUT    /-/addresses/{address}/fault {}\nPOST   /-/forbidden {\"texts\": []}\nDELETE /-/addresses/{address}\n" +
		"GET    /-/addresses/{address}/messages\nPOST   /-/reset\n\nReasons:\n"
	for _, r := range Reasons() {
		status, _ := r.Status()
		text += fmt.Sprintf("  %d %s\n", status, r)
	}
	return text
}

func (d *Double) postAddress(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Address string `json:"address"`
	}
	if !control.Read(w, r, &in) {
		return
	}
	address, err := d.Register(r.Context(), in.Address)
	if err != nil {
		control.Fail(w, http.StatusInternalServerError, err)
		return
	}
	control.Write(w, http.StatusCreated, map[string]string{"address": address})
}

// ServeHTTP serves the push service and, under /-/, its controls.
func (d *Double) ServeHTTP(w http.ResponseWriter, r *http.Request) { d.mux.ServeHTTP(w, r) }

// Key is the text of the .p8 file, and KeyID, Team and Topic what goes with it.
func (d *Double) Key() (string, error) {
	der, err := x509.MarshalPKCS8PrivateKey(d.key)
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), nil
}

// KeyID is the key's name.
func (d *Double) KeyID() string { return d.o.KeyID }

// Team is the developer team.
func (d *Double) Team() string { return d.o.Team }

// Topic is the app's bundle id.
func (d *Double) Topic() string { return d.o.Topic }

// Register makes a device token known; empty asks for a fresh one.
func (d *Double) Register(_ context.Context, address string) (string, error) {
	if address == "" {
		raw := make([]byte, 32)
		rand.Read(raw)
		address = hex.EncodeToString(raw)
	}
	return address, d.Open(address)
}

// PushKey is how a phone tells its server of the address.
func (d *Double) PushKey(address string) wire.PushKey {
	return wire.PushKey{FirebaseKey: address, Channel: wire.ChannelAPNs}
}

// push answers POST /3/device/{token}.
func (d *Double) push(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxPayload+1))
	if err != nil {
		return
	}
	token := r.PathValue("token")
	record := inbox.Record{Address: token, Plain: string(body), Headers: map[string]string{}}
	for name := range r.Header {
		if strings.HasPrefix(name, "Apns-") {
			record.Headers[name] = r.Header.Get(name)
		}
	}
	id := r.Header.Get("Apns-Id")
	if id == "" {
		id = newID()
	}
	answer := func(status int, reason string) {
		if status == 0 {
			status, _ = Reason(reason).Status()
		}
		record.Status, record.Reason = status, reason
		d.Note(record)
		w.Header().Set("Apns-Id", id)
		if status == http.StatusOK {
			return
		}
		died := d.Died(token)
		if status == http.StatusGone && died.IsZero() {
			died = d.Now()
		}
		write(w, status, reason, died)
	}
	fault := d.Next(token)
	if fault != nil && (fault.Hang || fault.Reset) {
		d.Note(record)
	}
	if d.Meet(w, r, fault, answer) {
		return
	}
	if reason := d.judge(r, token, body); reason != "" {
		answer(0, string(reason))
		return
	}
	m := message(body)
	record.Leaks = d.Leaks(m)
	priority := r.Header.Get("Apns-Priority")
	m.Address, m.High, m.CollapseKey = token, priority == "10" || priority == "", r.Header.Get("Apns-Collapse-Id")
	m.Expires = d.Now().Add(longest)
	if text := r.Header.Get("Apns-Expiration"); text != "" {
		seconds, _ := strconv.ParseInt(text, 10, 64) // judged
		if at := time.Unix(seconds, 0); at.Before(m.Expires) {
			m.Expires = at // 0: now or never
		}
	}
	answer(http.StatusOK, "")
	if fault != nil && fault.Lose {
		return
	}
	key := m.CollapseKey
	if !d.o.KeepAll {
		key = "newest" // of the app on a phone that is offline
	}
	d.Deliver(token, key, m)
}

// newID is an apns-id, a UUID.
func newID() string {
	b := make([]byte, 16)
	rand.Read(b)
	return fmt.Sprintf("%X-%X-%X-%X-%X", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// judge says what is wrong with a send, in the order that the package comment draws; "" is nothing.
func (d *Double) judge(r *http.Request, token string, body []byte) Reason {
	if r.ProtoMajor != 2 {
		return HTTP2Required
	}
	if reason := d.authenticate(r.Header.Get("Authorization")); reason != "" {
		return reason
	}
	h := r.Header
	priority := h.Get("Apns-Priority")
	for _, name := range []string{"Apns-Topic", "Apns-Push-Type", "Apns-Priority", "Apns-Expiration", "Apns-Collapse-Id", "Apns-Id"} {
		if len(h.Values(name)) > 1 {
			return DuplicateHeaders
		}
	}
	switch {
	case h.Get("Apns-Id") != "" && !wire.IsUUID(h.Get("Apns-Id")):
		return BadMessageID
	case h.Get("Apns-Topic") == "":
		return MissingTopic
	case h.Get("Apns-Topic") != d.o.Topic:
		return DeviceTokenNotForTopic
	case h.Get("Apns-Push-Type") != "alert" && h.Get("Apns-Push-Type") != "background":
		return InvalidPushType
	case priority != "" && priority != "10" && priority != "5" && priority != "1", priority == "10" && h.Get("Apns-Push-Type") == "background":
		return BadPriority
	case len(h.Get("Apns-Collapse-Id")) > maxCollapse:
		return BadCollapseID
	case len(body) > maxPayload:
		return PayloadTooLarge
	}
	if e := h.Get("Apns-Expiration"); e != "" {
		if _, err := strconv.ParseUint(e, 10, 40); err != nil {
			return BadExpirationDate
		}
	}
	var doc struct{ APS json.RawMessage }
	if json.Unmarshal(body, &doc) != nil || len(doc.APS) == 0 {
		return PayloadEmpty
	}
	switch known, dead := d.Known(token); {
	case dead && !known:
		return Unregistered
	case !known:
		return BadDeviceToken
	}
	return ""
}

// authenticate checks the provider token and gives Apple's word for what is wrong with it.
func (d *Double) authenticate(header string) Reason {
	text, found := strings.CutPrefix(header, "bearer ")
	if !found {
		return MissingProviderToken
	}
	token, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil || len(token.Headers) != 1 || token.Headers[0].KeyID != d.o.KeyID {
		return InvalidProviderToken
	}
	var claims struct {
		Issuer   string `json:"iss"`
		IssuedAt int64  `json:"iat"`
	}
	if token.Claims(&d.key.PublicKey, &claims) != nil || claims.Issuer != d.o.Team {
		return InvalidProviderToken
	}
	if age := d.Now().Sub(time.Unix(claims.IssuedAt, 0)); age > tokenLife || age < -time.Minute {
		return ExpiredProviderToken
	}
	return ""
}

// message is a payload as the app finds it.
func message(body []byte) fcm.Message {
	var doc map[string]json.RawMessage
	_ = json.Unmarshal(body, &doc) // judged
	var aps struct{ Alert struct{ Title, Body string } }
	_ = json.Unmarshal(doc["aps"], &aps)
	m := fcm.Message{Title: aps.Alert.Title, Body: aps.Alert.Body, Data: map[string]string{}}
	for name, raw := range doc {
		var text string
		if name == "aps" {
			continue
		}
		if json.Unmarshal(raw, &text) != nil {
			text = string(raw)
		}
		m.Data[name] = text
	}
	return m
}

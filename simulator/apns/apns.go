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
)

// Options of a Double. The zero value is usable.
type Options struct {
	KeyID, Team, Topic string      // what the server is configured with; defaults of ten characters, and org.example.countersign
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
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	d := &Double{Box: inbox.New(o.Clock, o.History), o: o, key: key, mux: http.NewServeMux()}
	d.mux.HandleFunc("POST /3/device/{token}", d.push)
	d.Control(d.mux)
	return d, nil
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
	answer := func(status int, reason string) {
		record.Status, record.Reason = status, reason
		d.Note(record)
		w.Header().Set("Apns-Id", rand.Text())
		if status != http.StatusOK {
			control.Write(w, status, map[string]string{"reason": reason})
		}
	}
	fault := d.Next()
	if fault != nil && (fault.Hang || fault.Reset) {
		d.Note(record)
	}
	if d.Meet(w, r, fault, answer) {
		return
	}
	if status, reason := d.judge(r, token, body); reason != "" {
		answer(status, reason)
		return
	}
	m := message(body)
	record.Leaks = d.Leaks(m)
	seconds, _ := strconv.ParseInt(r.Header.Get("Apns-Expiration"), 10, 64) // judged
	m.Address, m.High, m.CollapseKey = token, r.Header.Get("Apns-Priority") == "10", r.Header.Get("Apns-Collapse-Id")
	m.Expires = time.Unix(seconds, 0)
	answer(http.StatusOK, "")
	if fault == nil || !fault.Lose {
		d.Deliver(token, m.CollapseKey, m)
	}
}

// judge says what is wrong with a send, in the order that the package comment draws.
func (d *Double) judge(r *http.Request, token string, body []byte) (int, string) {
	if r.ProtoMajor != 2 {
		return http.StatusHTTPVersionNotSupported, "HTTP2Required"
	}
	if reason := d.authenticate(r.Header.Get("Authorization")); reason != "" {
		return http.StatusForbidden, reason
	}
	h := r.Header
	switch {
	case h.Get("Apns-Topic") == "":
		return http.StatusBadRequest, "MissingTopic"
	case h.Get("Apns-Topic") != d.o.Topic:
		return http.StatusBadRequest, "DeviceTokenNotForTopic"
	case h.Get("Apns-Push-Type") != "alert" && h.Get("Apns-Push-Type") != "background":
		return http.StatusBadRequest, "InvalidPushType"
	case h.Get("Apns-Priority") != "" && h.Get("Apns-Priority") != "10" && h.Get("Apns-Priority") != "5" && h.Get("Apns-Priority") != "1":
		return http.StatusBadRequest, "BadPriority"
	case len(h.Get("Apns-Collapse-Id")) > maxCollapse:
		return http.StatusBadRequest, "BadCollapseId"
	case len(body) > maxPayload:
		return http.StatusRequestEntityTooLarge, "PayloadTooLarge"
	case len(body) == 0:
		return http.StatusBadRequest, "PayloadEmpty"
	}
	if e := h.Get("Apns-Expiration"); e != "" {
		if _, err := strconv.ParseUint(e, 10, 40); err != nil {
			return http.StatusBadRequest, "BadExpirationDate"
		}
	}
	var doc struct{ APS json.RawMessage }
	if json.Unmarshal(body, &doc) != nil || len(doc.APS) == 0 {
		return http.StatusBadRequest, "BadMessageId"
	}
	switch known, dead := d.Known(token); {
	case dead && !known:
		return http.StatusGone, "Unregistered"
	case !known:
		return http.StatusBadRequest, "BadDeviceToken"
	}
	return 0, ""
}

// authenticate checks the provider token and gives Apple's word for what is wrong with it.
func (d *Double) authenticate(header string) string {
	text, found := strings.CutPrefix(header, "bearer ")
	if !found {
		return "MissingProviderToken"
	}
	token, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil || len(token.Headers) != 1 || token.Headers[0].KeyID != d.o.KeyID {
		return "InvalidProviderToken"
	}
	var claims struct {
		Issuer   string `json:"iss"`
		IssuedAt int64  `json:"iat"`
	}
	if token.Claims(&d.key.PublicKey, &claims) != nil || claims.Issuer != d.o.Team {
		return "InvalidProviderToken"
	}
	if age := d.Now().Sub(time.Unix(claims.IssuedAt, 0)); age > tokenLife || age < -time.Minute {
		return "ExpiredProviderToken"
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

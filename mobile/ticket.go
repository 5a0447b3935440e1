package mobile

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"

	"countersign/core/api"
	"countersign/core/db"
	"countersign/core/fault"
	"countersign/mobile/wire"
)

// A ticket opens one socket, soon, for a page that cannot put a proof into a handshake. It is the server's word over the device,
// its token and the time, and is used up like a proof, so that nothing is stored for one that is never used. It travels in
// Sec-WebSocket-Protocol, since queries end up in the logs of proxies.
const (
	ticketLife   = 30 * time.Second
	ticketPrefix = "ticket."
)

// issueTicket gives the phone that calls a ticket.
func (s *Service) issueTicket(ctx context.Context, r *api.Request, _ api.None) (wire.SocketTicket, error) {
	token, proves, err := credentials(r.HTTP)
	if err != nil {
		return wire.SocketTicket{}, err
	}
	c, err := s.authenticate(ctx, r)
	if err != nil {
		return wire.SocketTicket{}, err
	}
	t := ticket{device: c.device, token: hashToken(token), expires: s.Now().Add(ticketLife), signs: proves}
	return wire.SocketTicket{Ticket: t.seal(s.ticketKey), Expires: t.expires}, nil
}

func ticketOf(r *http.Request) string {
	for _, p := range websocket.Subprotocols(r) {
		if t, ok := strings.CutPrefix(p, ticketPrefix); ok {
			return t
		}
	}
	return ""
}

// redeem uses a ticket up. Errors: Denied, Unauthorized, NotFound.
func (s *Service) redeem(ctx context.Context, text string, device uuid.UUID) (ticket, error) {
	t, ok := openTicket(text, s.ticketKey)
	if !ok || !s.Now().Before(t.expires) {
		return ticket{}, errToken
	}
	if t.device != device {
		return ticket{}, fault.Missing()
	}
	if err := s.spend(ctx, hashToken(text)); err != nil {
		return ticket{}, err
	}
	rows, err := s.Pool.Query(ctx, stillSQL, t.device, t.token, s.Now())
	if err != nil {
		return ticket{}, fmt.Errorf("check ticket: %w", db.Fault(err))
	}
	defer rows.Close()
	if rows.Next() {
		return t, nil
	}
	if err := rows.Err(); err != nil {
		return ticket{}, fmt.Errorf("check ticket: %w", db.Fault(err))
	}
	return ticket{}, errToken
}

// ticket is what a socket's ticket says: which phone, by which token, until when, and whether the phone signs.
type ticket struct {
	device  uuid.UUID
	token   []byte // its SHA-256
	expires time.Time
	signs   bool
}

// The layout of a ticket: device, token, expiry in milliseconds, signs, randomness, MAC.
const (
	ticketBody = 16 + sha256.Size + 8 + 1 + 16
	ticketSize = ticketBody + sha256.Size
)

// seal makes the text of the ticket, whose MAC nobody makes without the key.
func (t ticket) seal(key []byte) string {
	raw := make([]byte, 0, ticketSize)
	raw = append(raw, t.device[:]...)
	raw = append(raw, t.token...)
	raw = binary.BigEndian.AppendUint64(raw, uint64(t.expires.UnixMilli()))
	signs := byte(0)
	if t.signs {
		signs = 1
	}
	raw = append(raw, signs)
	var unique [16]byte
	_, _ = rand.Read(unique[:]) // never fails
	raw = append(raw, unique[:]...)
	return base64.RawURLEncoding.EncodeToString(append(raw, ticketMAC(raw, key)...))
}

// openTicket reads a ticket; ok is false for what was not made with the key.
func openTicket(text string, key []byte) (t ticket, ok bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != ticketSize {
		return ticket{}, false
	}
	body := raw[:ticketBody]
	if !hmac.Equal(raw[ticketBody:], ticketMAC(body, key)) {
		return ticket{}, false
	}
	copy(t.device[:], body)
	t.token = body[16 : 16+sha256.Size]
	t.expires = time.UnixMilli(int64(binary.BigEndian.Uint64(body[16+sha256.Size:])))
	t.signs = body[16+sha256.Size+8] == 1
	return t, true
}

func ticketMAC(body, key []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(body)
	return mac.Sum(nil)
}

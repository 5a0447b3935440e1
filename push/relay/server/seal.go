package server

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// sealer seals what others keep for the relay. The first key seals; all open.
type sealer []cipher.AEAD

func newSealer(keys [][]byte) (sealer, error) {
	if len(keys) == 0 {
		return nil, errors.New("the relay has no key")
	}
	var out sealer
	for _, key := range keys {
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("the relay's key: %w", err)
		}
		seal, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, fmt.Errorf("the relay's key: %w", err)
		}
		out = append(out, seal)
	}
	return out, nil
}

// seal makes a text of v that opens with the same purpose alone.
func (s sealer) seal(v any, purpose string) (string, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	sealed := s[0].Seal(nil, nil, plain, []byte(purpose)) //nolint:gosec // G407: this AEAD draws its own nonce and takes none
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// errSealed is a text that we did not make, or not for this purpose.
var errSealed = errors.New("it was not made by this relay, or for another server")

func (s sealer) open(text, purpose string, v any) error {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return errSealed
	}
	for _, one := range s {
		if plain, err := one.Open(nil, nil, raw, []byte(purpose)); err == nil {
			return json.Unmarshal(plain, v)
		}
	}
	return errSealed
}

// target is what a handle holds.
type target struct {
	Channel string `json:"c"`
	Address string `json:"a"`
}

// ticket is what a ticket holds: which instance may send.
type ticket struct {
	Instance string    `json:"i"`
	Name     string    `json:"n"` // for the log
	Expires  time.Time `json:"e"`
}

const ticketPurpose = "countersign relay ticket"

// handlePurpose binds a handle to an instance.
func handlePurpose(instance string) string { return "countersign relay handle\x00" + instance }

// instanceBytes is the length of an instance's name once decoded: a SHA-256.
const instanceBytes = 32

func checkInstance(name string) error {
	if raw, err := hex.DecodeString(name); err != nil || len(raw) != instanceBytes || strings.ToLower(name) != name {
		return errors.New("an instance is 64 hexadecimal digits: relay_instance of its push_channels")
	}
	return nil
}

// Ticket makes the permission for an instance, which its administrator puts into push.relay.key. keys are those of the relay.
func Ticket(keys [][]byte, instance, name string, expires time.Time) (string, error) {
	if err := checkInstance(instance); err != nil {
		return "", err
	}
	s, err := newSealer(keys)
	if err != nil {
		return "", err
	}
	return s.seal(ticket{instance, name, expires}, ticketPurpose)
}

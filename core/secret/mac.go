package secret

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
)

// MAC makes and checks keyed hashes for one purpose: HMAC-SHA-256 (RFC 2104) under a key derived from the server's. It is
// for what is only recognised and too short for Hash to hide, as a telephone number or a code of six digits. A sum is
//
//	4 bytes key id │ 32 bytes HMAC
//
// so that it says which key it needs. It is safe for use by several goroutines.
type MAC struct {
	ids  [][idSize]byte
	keys [][]byte
}

// SumSize is the length of a sum, in bytes.
const SumSize = idSize + sha256.Size

// MAC gives the keyed hash of a purpose. Its keys are those of Derive and DeriveOld with that label.
func (k *Keeper) MAC(label string) *MAC {
	return &MAC{ids: k.ids, keys: append([][]byte{k.Derive(label)}, k.DeriveOld(label)...)}
}

// Sum is the keyed hash of a message, given in parts, under the first key. The parts are joined as they are: all but the
// last have a fixed length, or two messages could be one.
func (m *MAC) Sum(parts ...[]byte) []byte { return m.sum(0, parts) }

// Sums are the hashes of a message under each key, that of Sum first: a stored hash is one of them, whichever key it was
// made with.
func (m *MAC) Sums(parts ...[]byte) [][]byte {
	out := make([][]byte, len(m.keys))
	for i := range m.keys {
		out[i] = m.sum(i, parts)
	}
	return out
}

// Verify tells whether sum is that of the message, under any of the keys. It takes the same time wherever they differ.
func (m *MAC) Verify(sum []byte, parts ...[]byte) bool {
	i := m.key(sum)
	return i >= 0 && hmac.Equal(sum, m.sum(i, parts))
}

// Known tells whether the key that sum was made with is configured.
func (m *MAC) Known(sum []byte) bool { return m.key(sum) >= 0 }

// Current tells whether sum was made with the first key.
func (m *MAC) Current(sum []byte) bool { return m.key(sum) == 0 }

func (m *MAC) sum(key int, parts [][]byte) []byte {
	mac := hmac.New(sha256.New, m.keys[key])
	for _, p := range parts {
		mac.Write(p)
	}
	return mac.Sum(append(make([]byte, 0, SumSize), m.ids[key][:]...))
}

// key is the place of the key that sum was made with; -1 if it is not configured.
func (m *MAC) key(sum []byte) int {
	if len(sum) != SumSize {
		return -1
	}
	for i, id := range m.ids {
		if bytes.Equal(id[:], sum[:idSize]) {
			return i
		}
	}
	return -1
}

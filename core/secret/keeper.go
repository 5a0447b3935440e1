package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

const (
	version   = 1
	idSize    = 4
	headSize  = 1 + idSize
	nonceSize = 12
	tagSize   = 16

	// MinKey is the least length of a configured key, in bytes. The derivation is fast on purpose, so the key must
	// be random, not a password.
	MinKey = 32
)

// Errors of Open. Neither says more, so that a reader of the answer learns nothing about the key.
var (
	ErrUnknownKey = errors.New("secret: sealed by a key that is not configured")
	ErrTampered   = errors.New("secret: sealed value is damaged or belongs elsewhere")
)

// Keeper seals, opens and derives with the server's keys. It is safe for use by several goroutines.
type Keeper struct {
	keys   map[[idSize]byte]cipher.AEAD
	ids    [][idSize]byte // of the configured keys, in their order
	master [][]byte       // the configured keys, for Derive
}

// New makes a Keeper from configured key strings of at least MinKey bytes each. The first one seals and derives; all
// of them open. It is an error to give none, a short one or the same one twice.
func New(keys ...string) (*Keeper, error) {
	if len(keys) == 0 {
		return nil, errors.New("secret: no key configured")
	}
	k := &Keeper{keys: make(map[[idSize]byte]cipher.AEAD, len(keys))}
	for i, key := range keys {
		if len(key) < MinKey {
			return nil, fmt.Errorf("secret: key %d has %d characters, at least %d are needed", i+1, len(key), MinKey)
		}
		var id [idSize]byte
		copy(id[:], derive([]byte(key), "countersign key id", idSize))
		if _, ok := k.keys[id]; ok {
			return nil, fmt.Errorf("secret: key %d is given twice", i+1)
		}
		block, err := aes.NewCipher(derive([]byte(key), "countersign seal", 32))
		if err != nil {
			return nil, fmt.Errorf("secret: make cipher: %w", err)
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, fmt.Errorf("secret: make cipher: %w", err)
		}
		k.keys[id] = aead
		k.ids, k.master = append(k.ids, id), append(k.master, []byte(key))
	}
	return k, nil
}

// Seal encrypts plain for the place that aad names, for example "tokens.key:" + token uuid. The result is 33 bytes
// longer than plain and differs at each call. The nonce is random: one key is good for 2³² values.
func (k *Keeper) Seal(plain []byte, aad string) []byte {
	out := make([]byte, headSize+nonceSize, headSize+nonceSize+len(plain)+tagSize)
	out[0] = version
	copy(out[1:headSize], k.ids[0][:])
	rand.Read(out[headSize:]) // never fails: crypto/rand ends the process instead
	return k.keys[k.ids[0]].Seal(out, out[headSize:headSize+nonceSize], plain, bind(out[:headSize], aad))
}

// Open decrypts what Seal made with the same aad and any of the configured keys. It fails with ErrUnknownKey or
// ErrTampered.
func (k *Keeper) Open(sealed []byte, aad string) ([]byte, error) {
	if len(sealed) < headSize+nonceSize+tagSize || sealed[0] != version {
		return nil, ErrTampered
	}
	aead, ok := k.keys[[idSize]byte(sealed[1:headSize])]
	if !ok {
		return nil, ErrUnknownKey
	}
	plain, err := aead.Open(nil, sealed[headSize:headSize+nonceSize], sealed[headSize+nonceSize:], bind(sealed[:headSize], aad))
	if err != nil {
		return nil, ErrTampered
	}
	return plain, nil
}

// Current tells whether sealed was made by the first key; what was not should be sealed anew.
func (k *Keeper) Current(sealed []byte) bool {
	return len(sealed) >= headSize && sealed[0] == version && [idSize]byte(sealed[1:headSize]) == k.ids[0]
}

// KeyIDs name the configured keys in their order, the one that seals first, as hexadecimal digits. An id stands
// readable in each sealed value and says nothing about the key.
func (k *Keeper) KeyIDs() []string {
	out := make([]string, len(k.ids))
	for i, id := range k.ids {
		out[i] = hex.EncodeToString(id[:])
	}
	return out
}

// Derive gives a 32-byte key for one purpose, the same for the same first key and label. Keys of different labels
// say nothing about one another (RFC 5869).
func (k *Keeper) Derive(label string) []byte {
	return derive(k.master[0], deriveInfo+label, 32)
}

// DeriveOld is Derive for the keys after the first: what was signed with them is still taken while they are configured.
func (k *Keeper) DeriveOld(label string) [][]byte {
	var out [][]byte
	for _, key := range k.master[1:] {
		out = append(out, derive(key, deriveInfo+label, 32))
	}
	return out
}

const deriveInfo = "countersign derive "

func derive(key []byte, info string, size int) []byte {
	out, err := hkdf.Key(sha256.New, key, nil, info, size)
	if err != nil {
		panic("secret: " + err.Error()) // only for a size over 255 hashes, which no caller here asks
	}
	return out
}

// bind joins head and aad; head has a fixed length, so no two pairs give the same bytes.
func bind(head []byte, aad string) []byte {
	return append(append(make([]byte, 0, len(head)+len(aad)), head...), aad...)
}

package webpush

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

// The sizes of an encrypted message (RFC 8188 §2, RFC 8291 §4).
const (
	saltSize   = 16
	recordSize = 4096 // of the one record, and all that a push service has to take (RFC 8030 §7.2)
	pointSize  = 65   // of a point on P-256, uncompressed
	headSize   = saltSize + 4 + 1 + pointSize
	tagSize    = 16

	// MaxPlain is the longest message, in bytes.
	MaxPlain = recordSize - headSize - 1 - tagSize

	// block is what messages are padded to a multiple of, so that their length tells nothing of what they say.
	block = 256
)

// encrypt makes the body of a push message as RFC 8291 has it. own is a key of this message alone and salt 16 random bytes.
// The plain text is padded to size bytes if it is shorter.
func encrypt(plain []byte, size int, to Subscription, own *ecdh.PrivateKey, salt []byte) ([]byte, error) {
	if len(plain) > MaxPlain || size > MaxPlain {
		return nil, errors.New("the message is too long")
	}
	shared, err := own.ECDH(to.key)
	if err != nil {
		return nil, err
	}
	sender := own.PublicKey().Bytes()
	secret, err := derive(to.auth, shared, "WebPush: info\x00"+string(to.key.Bytes())+string(sender), 32)
	if err != nil {
		return nil, err
	}
	key, err := derive(salt, secret, "Content-Encoding: aes128gcm\x00", 16)
	if err != nil {
		return nil, err
	}
	nonce, err := derive(salt, secret, "Content-Encoding: nonce\x00", 12)
	if err != nil {
		return nil, err
	}
	cipherBlock, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	seal, err := cipher.NewGCM(cipherBlock)
	if err != nil {
		return nil, err
	}
	record := make([]byte, max(len(plain), size)+1)
	copy(record, plain)
	record[len(plain)] = 2 // the delimiter of the last record; what follows is padding
	out := make([]byte, 0, headSize+len(record)+tagSize)
	out = append(out, salt...)
	out = binary.BigEndian.AppendUint32(out, recordSize)
	out = append(out, byte(len(sender)))
	out = append(out, sender...)
	return seal.Seal(out, nonce, record, nil), nil
}

// derive is HKDF with SHA-256 (RFC 5869).
func derive(salt, secret []byte, info string, size int) ([]byte, error) {
	return hkdf.Key(sha256.New, secret, salt, info, size)
}

// padded is the length to which a message of n bytes is brought.
func padded(n int) int { return min((n+block-1)/block*block, MaxPlain) }

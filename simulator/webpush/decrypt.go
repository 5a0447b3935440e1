package webpush

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

const (
	saltSize  = 16
	pointSize = 65
	headSize  = saltSize + 4 + 1 + pointSize
)

// decrypt reads a body as the browser does (RFC 8188 §2, RFC 8291 §3.4).
func (s *subscription) decrypt(body []byte) ([]byte, error) {
	if len(body) < headSize || body[saltSize+4] != pointSize {
		return nil, errors.New("no header with a key of 65 bytes")
	}
	if record := binary.BigEndian.Uint32(body[saltSize:]); uint64(len(body)-headSize) > uint64(record) {
		return nil, errors.New("more than one record")
	}
	salt, point := body[:saltSize], body[saltSize+5:headSize]
	sender, err := ecdh.P256().NewPublicKey(point)
	if err != nil {
		return nil, errors.New("the sender's key is no point on P-256")
	}
	shared, err := s.private.ECDH(sender)
	if err != nil {
		return nil, err
	}
	info := "WebPush: info\x00" + string(s.private.PublicKey().Bytes()) + string(point)
	secret, err := hkdf.Key(sha256.New, shared, s.auth, info, 32)
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, secret, salt, "Content-Encoding: aes128gcm\x00", 16)
	if err != nil {
		return nil, err
	}
	nonce, err := hkdf.Key(sha256.New, secret, salt, "Content-Encoding: nonce\x00", 12)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	open, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	record, err := open.Open(nil, nonce, body[headSize:], nil)
	if err != nil {
		return nil, errors.New("not encrypted to this subscription")
	}
	plain, last := bytes.CutSuffix(bytes.TrimRight(record, "\x00"), []byte{2})
	if !last {
		return nil, errors.New("no delimiter of a last record")
	}
	return plain, nil
}

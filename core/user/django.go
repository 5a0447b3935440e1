package user

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
)

const djangoPrefix = "pbkdf2_sha256$"

var errDjangoHash = errors.New("read a stored password hash: not pbkdf2_sha256$<rounds>$<salt>$<base64>")

// verifyDjango checks a password against Django's PBKDF2PasswordHasher format, pbkdf2_sha256$<rounds>$<salt>$<hash>,
// the hash being 32 bytes in padded base64 and the salt taken as text.
func verifyDjango(encoded, password string) (bool, error) {
	parts := strings.Split(encoded, "$")
	if len(parts) != 4 {
		return false, errDjangoHash
	}
	rounds, err := strconv.Atoi(parts[1])
	if err != nil || rounds < 1 || rounds > maxPBKDF2 {
		return false, errDjangoHash
	}
	want, err := base64.StdEncoding.DecodeString(parts[3])
	if err != nil || len(want) != sha256.Size {
		return false, errDjangoHash
	}
	got, err := pbkdf2.Key(sha256.New, password, []byte(parts[2]), rounds, sha256.Size)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(got, want) == 1, nil
}

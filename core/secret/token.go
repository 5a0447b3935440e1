package secret

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
)

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// Token makes a random string of n letters and digits, each of the 62 equally likely (5.95 bits a character).
func Token(n int) string {
	const limit = 256 - 256%len(alphabet) // bytes from here on would favour the first letters
	out := make([]byte, 0, n)
	buf := make([]byte, n+n/16+8)
	for len(out) < n {
		rand.Read(buf) // never fails: crypto/rand ends the process instead
		for _, b := range buf {
			if int(b) < limit && len(out) < n {
				out = append(out, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return string(out)
}

// Hash is the SHA-256 of a random token, for storing and finding it. Never use it for passwords.
func Hash(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

// Equal compares in a time that depends on the lengths only, not on where the strings differ.
func Equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

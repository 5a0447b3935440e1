package totp

import (
	"encoding/base32"

	"github.com/pquerna/otp/hotp"
)

// CodeAt is for the apps of the tests.
func CodeAt(seed []byte, step int64, digits int) string {
	code, err := hotp.GenerateCodeCustom(base32.StdEncoding.EncodeToString(seed), uint64(step), form(digits))
	if err != nil {
		panic(err)
	}
	return code
}

// Match is for the benchmark.
var Match = match

// GrantSQL is for the benchmark.
const GrantSQL = grantSQL

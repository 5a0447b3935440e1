package user

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"

	"countersign/core/fault"
)

// The length of a password that a person may choose. The maximum bounds the work that a request can ask for.
const (
	MinPassword = 8    // characters
	MaxPassword = 1024 // bytes
)

// Limits on a stored hash's own cost, so that a damaged or hostile row cannot stop the server.
const (
	maxMemory     = 1 << 20    // KiB, of argon2id
	maxIterations = 64         // of argon2id
	maxPBKDF2     = 10_000_000 // rounds
)

// Hasher turns passwords into stored hashes and checks them: argon2id for all that it writes, Django's
// pbkdf2_sha256 for what was brought along. At most Parallel hashes are computed at a time, so a flood of logins
// costs Parallel × Params.Memory KiB and no more; who waits longer than Wait is told to come back.
type Hasher struct {
	Params argon2id.Params
	Wait   time.Duration

	slots chan struct{}
	dummy string
}

// DefaultParams are OWASP's second recommendation for argon2id (Password Storage Cheat Sheet): 19 MiB, two passes, one lane.
func DefaultParams() argon2id.Params {
	return argon2id.Params{Memory: 19 * 1024, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}
}

// NewHasher makes a Hasher with p and at most parallel hashes at a time; parallel 0 is one for each processor.
func NewHasher(p argon2id.Params, parallel int) (*Hasher, error) {
	if parallel <= 0 {
		parallel = runtime.GOMAXPROCS(0)
	}
	dummy, err := argon2id.CreateHash("nobody's password", &p)
	if err != nil {
		return nil, fmt.Errorf("make the stand-in password hash: %w", err)
	}
	return &Hasher{Params: p, Wait: 10 * time.Second, slots: make(chan struct{}, parallel), dummy: dummy}, nil
}

// Check tells whether a password may be chosen: MinPassword characters to MaxPassword bytes, valid UTF-8 without
// NUL. The error is a 400 on the field "password".
func (h *Hasher) Check(password string) error {
	switch {
	case len(password) > MaxPassword:
		return fault.Field("password", "max_length", fmt.Sprintf("Ensure this field has no more than %d characters.", MaxPassword))
	case utf8.RuneCountInString(password) < MinPassword:
		return fault.Field("password", "min_length", fmt.Sprintf("Ensure this field has at least %d characters.", MinPassword))
	case !utf8.ValidString(password) || strings.ContainsRune(password, 0):
		return fault.Field("password", "invalid", "Null characters are not allowed.")
	}
	return nil
}

// Hash makes the stored form of a password, without asking whether it may be chosen.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	if err := h.acquire(ctx); err != nil {
		return "", err
	}
	defer h.release()
	encoded, err := argon2id.CreateHash(password, &h.Params)
	if err != nil {
		return "", fmt.Errorf("hash the password: %w", err)
	}
	return encoded, nil
}

// Verify tells whether password is the one behind encoded, and whether encoded should be replaced by a fresh hash.
// A nil, empty or unusable encoded costs what a usable one of today's kind costs and is never right.
// An error is a database row that holds no known hash, or fault.Unavailable when the machine is too busy.
func (h *Hasher) Verify(ctx context.Context, encoded *string, password string) (ok, stale bool, err error) {
	if err := h.acquire(ctx); err != nil {
		return false, false, err
	}
	defer h.release()
	usable := Usable(encoded) && len(password) <= MaxPassword
	if !usable {
		_, err := argon2id.ComparePasswordAndHash("", h.dummy)
		return false, false, err
	}
	if strings.HasPrefix(*encoded, djangoPrefix) {
		ok, err := verifyDjango(*encoded, password)
		return ok, ok, err
	}
	p, _, _, err := argon2id.DecodeHash(*encoded)
	if err != nil {
		return false, false, fmt.Errorf("read a stored password hash: %w", err)
	}
	if p.Memory > maxMemory || p.Iterations < 1 || p.Iterations > maxIterations || p.Parallelism < 1 {
		return false, false, fmt.Errorf("read a stored password hash: its cost m=%d t=%d p=%d is out of bounds", p.Memory, p.Iterations, p.Parallelism)
	}
	ok, err = argon2id.ComparePasswordAndHash(password, *encoded)
	return ok, ok && *p != h.Params, err
}

// Usable tells whether a stored hash can ever be right. NULL cannot, nor can Django's "!…".
func Usable(encoded *string) bool {
	return encoded != nil && *encoded != "" && !strings.HasPrefix(*encoded, "!")
}

func (h *Hasher) acquire(ctx context.Context) error {
	select {
	case h.slots <- struct{}{}:
		return nil
	default:
	}
	late := time.NewTimer(h.Wait)
	defer late.Stop()
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-late.C:
		busy := fault.New(fault.Unavailable, "busy", "The server is busy. Please try again.")
		busy.RetryAfter = h.Wait
		return busy
	}
}

func (h *Hasher) release() { <-h.slots }

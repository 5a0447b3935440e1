package sms

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/authenticators/throttle"
	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/user"
	"countersign/flows"
)

const (
	codeLife    = 5 * time.Minute
	maxFailures = 5
)

// hashCode is what is stored of a code. The key makes six digits worth hashing, the code's own id makes equal codes
// differ.
func (s *Service) hashCode(id uuid.UUID, code string) []byte { return s.codes.Sum(id[:], []byte(code)) }

func (s *Service) hashNumber(n Number) []byte { return s.numbers.Sum([]byte(n)) }

// hashesOf are a number's hashes under all keys of the server: what was stored before a new key is still found.
func (s *Service) hashesOf(n Number) [][]byte { return s.numbers.Sums([]byte(n)) }

func (s *Service) sealNumber(n Number, userID int, stage uuid.UUID) []byte {
	return s.Keeper.Seal([]byte(n), sealedNumber.AAD(userID, stage))
}

func (s *Service) openNumber(sealed []byte, userID int, stage uuid.UUID) (Number, error) {
	plain, err := s.Keeper.Open(sealed, sealedNumber.AAD(userID, stage))
	if err != nil {
		return "", fmt.Errorf("open telephone number: %w", err)
	}
	return Number(plain), nil
}

// newCode draws six digits, each code equally likely.
func (s *Service) newCode() (string, error) {
	n, err := rand.Int(s.Random, big.NewInt(1_000_000))
	if err != nil {
		return "", fmt.Errorf("draw code: %w", err)
	}
	return fmt.Sprintf("%0*d", codeDigits, n), nil
}

// sendCode makes a code, sends it to the number and waits for the provider. What it refuses, it says in words; id is
// the code's otherwise.
func (s *Service) sendCode(ctx context.Context, run *flows.Run, st *Stage, u *user.User, to Number) (id uuid.UUID, refused string, err error) {
	code, err := s.newCode()
	if err != nil {
		return uuid.Nil, "", err
	}
	id, refused, err = s.reserve(ctx, code, to, u.ID, throttle.Source(run.Origin.ClientIP))
	if err != nil || refused != "" {
		return uuid.Nil, refused, err
	}
	a, err := open(s.Keeper, st.id, st.settings)
	if err == nil {
		err = s.send(ctx, a, message{To: to, Code: code, Text: text(run.Title, run.Origin.Host, code)})
	}
	if err == nil {
		return id, "", nil
	}
	// Nobody has the code: it is spent, also when the browser is gone.
	_, noted := s.Pool.Exec(context.WithoutCancel(ctx), `UPDATE sms_codes SET undelivered = true WHERE code_uuid = $1`, id)
	if noted != nil {
		return uuid.Nil, "", fmt.Errorf("note that a message was not sent: %w", db.Fault(noted))
	}
	if ctx.Err() != nil {
		return uuid.Nil, "", ctx.Err()
	}
	refused, err = failed(ctx, run, st, u, err)
	return uuid.Nil, refused, err
}

// failed tells administrators what went wrong, and the person that something did.
func failed(ctx context.Context, run *flows.Run, st *Stage, u *user.User, cause error) (string, error) {
	return "The text message could not be sent. Try again later, or ask your administrator.", run.Emit(ctx, event.Event{
		Action: event.ConfigurationError, App: app, User: eventUser(u),
		Context: map[string]any{
			"message": "Error sending SMS", "stage": st.ref(), "provider": st.settings.Provider, "error": cause.Error(),
		},
	})
}

func eventUser(u *user.User) *event.User {
	return &event.User{PK: u.ID, Username: u.Username, Email: u.Email}
}

// reserve makes the row of a code unless a limit is reached, which it says in words. Sends that share a number, a user
// or a source take turns, so that no two pass on the last free place.
func (s *Service) reserve(ctx context.Context, code string, to Number, userID int, source string) (id uuid.UUID, refused string, err error) {
	if id, err = uuid.NewV7(); err != nil {
		return uuid.Nil, "", fmt.Errorf("name code: %w", err)
	}
	now, hashes := s.Now(), s.hashesOf(to)
	locks := []int64{lockOf("user", strconv.Itoa(userID)), lockOf("source", source)}
	for _, h := range hashes { // of all keys: another node's first one may be another while keys change
		locks = append(locks, lockOf("number", string(h)))
	}
	slices.Sort(locks) // one order for all, so that nobody waits in a circle
	err = db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		for _, key := range locks {
			if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, key); err != nil {
				return fmt.Errorf("take turns: %w", db.Fault(err))
			}
		}
		h, err := readHistory(ctx, tx, hashes, userID, source, now.Add(-s.Limits.longest()))
		if err != nil {
			return err
		}
		if refused = s.Limits.refuse(now, h); refused != "" {
			return nil
		}
		_, err = tx.Exec(ctx, `INSERT INTO sms_codes (code_uuid, phone_hash, user_id, source, code_hash, created, expires) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			id, hashes[0], userID, source, s.hashCode(id, code), now, now.Add(codeLife))
		if err != nil {
			return fmt.Errorf("keep code: %w", db.Fault(err))
		}
		return nil
	})
	return id, refused, err
}

func lockOf(what, value string) int64 {
	sum := sha256.Sum256([]byte("sms " + what + ":" + value))
	return int64(binary.BigEndian.Uint64(sum[:]))
}

// verdict is what became of an answer to a code.
type verdict int

const (
	right verdict = iota
	wrong
	over // used, failed too often, too old, or not there
)

// check compares an answer with a code and queues what follows: it is used, or has failed once more. Both demand the row
// as it was read, so that of parallel answers each counts, and none is told what it was before it counts.
func (s *Service) check(ctx context.Context, run *flows.Run, id uuid.UUID, answer string) (verdict, error) {
	var hash []byte
	var failures int
	err := run.DB().QueryRow(ctx, `SELECT code_hash, failures FROM sms_codes
		WHERE code_uuid = $1 AND used IS NULL AND NOT undelivered AND failures < $2 AND expires > $3`, id, maxFailures, run.Now()).Scan(&hash, &failures)
	if errors.Is(err, pgx.ErrNoRows) {
		return over, nil
	}
	if err != nil {
		return over, fmt.Errorf("read code: %w", db.Fault(err))
	}
	set, v := "failures = failures + 1", wrong
	if !s.codes.Known(hash) { // its key was taken away: it can be neither right nor wrong
		return over, nil
	}
	if s.codes.Verify(hash, id[:], []byte(answer)) {
		set, v = "used = $3", right
	}
	run.Queue(`WITH w AS (UPDATE sms_codes SET `+set+` WHERE code_uuid = $1 AND used IS NULL AND failures = $2 AND expires > $3 RETURNING 1)
		SELECT require_one(count(*)) FROM w`, id, failures, run.Now())
	return v, nil
}

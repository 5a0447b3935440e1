package browser

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"slices"
	"strings"
	"time"

	"countersign/core/secret"
	"countersign/flows"
)

// Memory is how long a browser is known after the validation stage was passed in it.
const Memory = 30 * 24 * time.Hour

const (
	cookieName = "countersign_browser"
	maxMarks   = 5 // users that one browser is known for
	idSize     = 16
	headSize   = idSize + 4 // and the second in which it was made
	separator  = "."
)

// Marks makes and reads the marks of known browsers. It is safe for use by several goroutines.
type Marks struct{ mac *secret.MAC }

// New makes marks that the keeper's server knows again.
func New(k *secret.Keeper) *Marks { return &Marks{mac: k.MAC("mark of a known browser")} }

// Known gives the id of the mark that the browser has for a user; "" if it has none that is good.
func (m *Marks) Known(run *flows.Run, user int) string {
	for _, text := range marks(run) {
		if id := m.read(text, user, run.Now()); id != "" {
			return id
		}
	}
	return ""
}

// Remember gives the browser a new mark for a user, in the place of the one that it had.
func (m *Marks) Remember(run *flows.Run, user int) {
	now := run.Now()
	kept := []string{m.make(user, now)}
	for _, text := range marks(run) {
		if len(kept) < maxMarks && m.read(text, user, now) == "" {
			kept = append(kept, text)
		}
	}
	c := &http.Cookie{Name: cookieName, Value: strings.Join(kept, separator), Path: "/", MaxAge: int(Memory.Seconds()), HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if run.Origin.Scheme == "https" {
		c.Secure, c.SameSite = true, http.SameSiteNoneMode // login pages stand in frames too, as the session's cookie does
	}
	run.SetCookie(c)
}

func (m *Marks) make(user int, now time.Time) string {
	head := make([]byte, headSize)
	_, _ = rand.Read(head[:idSize]) // never fails
	binary.BigEndian.PutUint32(head[idSize:], uint32(now.Unix()))
	return base64.RawURLEncoding.EncodeToString(slices.Concat(head, m.mac.Sum(head, owner(user))))
}

// read gives the id of a mark that is the user's and not too old; "" for any other text.
func (m *Marks) read(text string, user int, now time.Time) string {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || user == 0 || len(raw) != headSize+secret.SumSize || !m.mac.Verify(raw[headSize:], raw[:headSize], owner(user)) {
		return ""
	}
	made := time.Unix(int64(binary.BigEndian.Uint32(raw[idSize:headSize])), 0)
	if now.Sub(made) >= Memory {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(raw[:idSize])
}

func owner(user int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(user)) }

// marks are the texts in the cookie, at most as many as we ever put there, each of their length.
func marks(run *flows.Run) []string {
	all := strings.SplitN(run.Cookie(cookieName), separator, maxMarks+1)
	kept := all[:0]
	for _, text := range all[:min(len(all), maxMarks)] {
		if len(text) == base64.RawURLEncoding.EncodedLen(headSize+secret.SumSize) {
			kept = append(kept, text)
		}
	}
	return kept
}

package validate

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"countersign/authenticators"
	"countersign/flows"
)

// cookieName is the cookie by which a browser passes the stage again within last_auth_threshold (core.md §3.5). Unlike
// the contract's it is HttpOnly, signed with a key that is derived from the server's secret, and bound to the user.
const cookieName = "authentik_mfa"

type claims struct {
	Device string `json:"device"`
	Stage  string `json:"stage"`
	jwt.RegisteredClaims
}

// remember sets the cookie after a validation.
func (s *Stage) remember(ctx context.Context, run *flows.Run, o *authenticators.Offer) error {
	if s.threshold < time.Second {
		return nil
	}
	u, err := run.PendingUser(ctx)
	if err != nil {
		return err
	}
	expires := run.Now().Add(s.threshold)
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, claims{
		Device: device(o), Stage: s.hex(),
		RegisteredClaims: jwt.RegisteredClaims{Subject: s.users.UID(u.ID), ExpiresAt: jwt.NewNumericDate(expires)},
	})
	value, err := token.SignedString(s.key)
	if err != nil {
		return err
	}
	c := &http.Cookie{Name: cookieName, Value: value, Path: "/", Expires: expires, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if run.Origin.Scheme == "https" {
		c.Secure, c.SameSite = true, http.SameSiteNoneMode
	}
	run.SetCookie(c)
	return nil
}

// device is what the cookie calls the device that proved an offer.
func device(o *authenticators.Offer) string {
	if o.Proof != nil {
		return o.Class + "/" + o.Proof.UID
	}
	return key(o)
}

// recentlyValidated is the device by which the cookie lets the user pass; nil: it does not. It is signed by us, of this stage and user, not expired,
// within today's threshold, and for a device that is still theirs and allowed.
func (s *Stage) recentlyValidated(run *flows.Run, userID int, devices []authenticators.Device) *authenticators.Device {
	raw := run.Cookie(cookieName)
	if s.threshold <= 0 || raw == "" || userID == 0 {
		return nil
	}
	var c claims
	_, err := jwt.ParseWithClaims(raw, &c, func(*jwt.Token) (any, error) { return s.keys, nil },
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithExpirationRequired(), jwt.WithTimeFunc(run.Now))
	if err != nil || c.Stage != s.hex() || c.Subject != s.users.UID(userID) || c.ExpiresAt.After(run.Now().Add(s.threshold)) {
		return nil
	}
	for i, d := range devices {
		if d.Class+"/"+d.UID == c.Device {
			return &devices[i]
		}
	}
	return nil
}

func (s *Stage) hex() string { return strings.ReplaceAll(s.id.String(), "-", "") }

package testbed

import (
	"context"
	"fmt"
	"net/http"

	"countersign/mobile/wire"
	"countersign/simulator/browser"
	"countersign/simulator/phone"
)

// SetupFlow is the slug of the flow that adds a phone, LoginFlow that of the login.
const (
	SetupFlow = "default-authenticator-mobile-setup"
	LoginFlow = "default-authentication-flow"
)

// Person is a user.
type Person struct {
	Username string
	Name     string
	Password string
	server   *Server
}

// NewPerson makes a user with a password.
func (s *Server) NewPerson(ctx context.Context) (*Person, error) {
	p := &Person{Username: Name("ada"), Name: "Ada Lovelace", Password: Name("secret"), server: s}
	var made struct {
		PK int `json:"pk"`
	}
	err := s.Call(ctx, http.MethodPost, "/core/users/", map[string]any{"username": p.Username, "name": p.Name}, &made)
	if err != nil {
		return nil, fmt.Errorf("make a user: %w", err)
	}
	err = s.Call(ctx, http.MethodPost, fmt.Sprintf("/core/users/%d/set_password/", made.PK), map[string]any{"password": p.Password}, nil)
	if err != nil {
		return nil, fmt.Errorf("set the user's password: %w", err)
	}
	return p, nil
}

// NewPhone is a phone with nobody's account on it, which leaves every ring to the caller. Close it.
func (b *Bed) NewPhone(name string, o phone.Options) *phone.Phone {
	o.Push = b.Push
	o.Info = wire.Info{Hostname: name, Model: name}
	return phone.New(o)
}

// Enrol adds phones to a person who has none, in one session, without a page.
func (p *Person) Enrol(ctx context.Context, phones ...*phone.Phone) error {
	b, err := browser.New(browser.Options{Base: p.server.URL, SetupFlow: SetupFlow, LoginFlow: LoginFlow})
	if err != nil {
		return err
	}
	result, err := b.Login(ctx, p.Username, p.Password)
	if err != nil {
		return err
	}
	if result.Outcome != browser.NoPhone {
		return fmt.Errorf("log in to add a phone: %s: %s", result.Outcome, result.Detail)
	}
	for _, one := range phones {
		device, err := b.EnrolPhone(ctx, func(ctx context.Context, payload []byte) (string, error) {
			account, err := one.EnrolFromQR(ctx, payload)
			return account.Fingerprint, err
		})
		if err == nil {
			err = one.Settle(ctx, device)
		}
		if err != nil {
			return fmt.Errorf("add a phone: %w", err)
		}
	}
	return nil
}

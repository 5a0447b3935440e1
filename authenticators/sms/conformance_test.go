package sms

import (
	"fmt"
	"testing"
	"time"

	"countersign/authenticators/authtest"
	"countersign/core/resourcetest"
	"countersign/core/secret"
	"countersign/flows"
	"countersign/flows/flowtest"
)

// T11: among all that a kind is put through, the password alone adds no device beside others.
func TestAuthenticator(t *testing.T) {
	t.Parallel()
	authtest.Kind(t, suite(func(*flowtest.Bench) {}))
}

// suite tells each bench that it makes to made.
func suite(made func(*flowtest.Bench)) authtest.Suite {
	return authtest.Suite{
		New: func(t testing.TB, b *flowtest.Bench) authtest.Subject {
			made(b)
			p := newProvider(t)
			many := Limit{1000, time.Hour}
			s := p.service(b, Limits{Number: many, User: many, Source: many, Gap: -1})
			numbers := 0
			return authtest.Subject{
				Kind: s.Kind(), Stages: []*flows.Kind{s.StageKind()}, Settings: generic(p),
				Path: "/authenticators/sms/", Mount: s.MountDevices,
				Enrol: func(t testing.TB, br *flowtest.Browser, _ flowtest.Page) authtest.Device {
					numbers++
					number := fmt.Sprintf("+4477009%05d", numbers)
					br.Post(t, map[string]any{"phone_number": number}).Want(t, Component)
					code := p.last(t, number).Code
					br.Post(t, map[string]any{"code": code}).WantContinue(t)
					return authtest.Device{
						Right: func(t testing.TB, _ flowtest.Page) map[string]any {
							return map[string]any{"code": p.last(t, number).Code}
						},
						Wrong:   func(t testing.TB) map[string]any { return map[string]any{"code": other(p.last(t, number).Code)} },
						Secrets: []string{code},
					}
				},
			}
		},
		Malformed: append(authtest.Text(), `"1234567"`, `"12345"`, `1234567`, `"12345a"`),
		Once:      true, Sent: true,
		Moves: map[time.Duration]bool{0: true, codeLife - time.Second: true, codeLife: false, 50 * time.Minute: false},
	}
}

func TestStageAPI(t *testing.T) {
	t.Parallel()
	authtest.StageAPI(t, func(k *secret.Keeper) *flows.Kind { return New(Options{Keeper: k}).StageKind() }, resourcetest.Suite{
		Path: "/stages/authenticator/sms/",
		Valid: func(n int) map[string]any {
			return map[string]any{
				"name": fmt.Sprintf("sms %d", n), "friendly_name": "Text message", "provider": "generic", "from_number": fmt.Sprint("+15550", n),
				"account_sid": fmt.Sprintf("https://sms.example/%d", n), "auth": fmt.Sprint("token ", n), "auth_type": "bearer", "verify_only": n%2 == 0,
			}
		},
		Skip: []string{"auth", "auth_password", "account_sid", "mapping", "flow_set"},
	})
}

package webauthn

import (
	"strings"
	"testing"

	"countersign/authenticators/authtest"
	"countersign/flows"
	"countersign/flows/flowtest"
)

// T11: among all that a kind is put through, the password alone adds no device beside others.
func TestKind(t *testing.T) {
	t.Parallel()
	authtest.Kind(t, suite(func(*flowtest.Bench) {}))
}

// suite tells each bench that it makes to made.
func suite(made func(*flowtest.Bench)) authtest.Suite {
	return authtest.Suite{
		New: func(t testing.TB, b *flowtest.Bench) authtest.Subject {
			made(b)
			s := serviceOf(b)
			return authtest.Subject{
				Kind: s.Kind(), Stages: []*flows.Kind{s.StageKind()}, Settings: setupSettings(), Path: "/authenticators/webauthn/", Mount: s.Mount, NameLength: maxName,
				Enrol: func(t testing.TB, br *flowtest.Browser, page flowtest.Page) authtest.Device {
					k := newKey(t)
					br.Post(t, object{"response": k.create(t, creation(t, page))}).WantContinue(t)
					return authtest.Device{
						Right: func(t testing.TB, page flowtest.Page) map[string]any {
							return object{"webauthn": k.get(request(t, page))}
						},
						Wrong: func(testing.TB) map[string]any {
							return object{"webauthn": k.get(object{"challenge": encode(make([]byte, 32)), "rpId": testHost})}
						},
					}
				},
			}
		},
		Malformed: []string{
			`{}`, `[]`, `"text"`, `1`, `true`, `{"id":null}`, `{"id":"AA","rawId":"AA","type":"public-key"}`,
			`{"id":"AA","rawId":"AA","type":"public-key","response":{"clientDataJSON":"e30","authenticatorData":"AA","signature":"AA"}}`,
			`{"id":"` + strings.Repeat("A", 20_000) + `"}`, `{"id":"\u0000","rawId":"\ud800"}`,
		},
		Once: true, Shared: true,
	}
}

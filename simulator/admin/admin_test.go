package admin_test

import (
	"errors"
	"io"
	"net/http"
	"testing"

	"countersign/simulator/admin"
	"countersign/simulator/standin"
)

func TestPeopleComeAfreshAndGo(t *testing.T) {
	t.Parallel()
	s := standin.New(t, standin.Options{})
	api := admin.API{Base: s.URL, Token: standin.AdminToken, HTTP: http.DefaultClient}
	first, err := api.Create(t.Context(), "ada", "secret")
	if err != nil {
		t.Fatal(err)
	}
	second, err := api.Create(t.Context(), "ada", "secret")
	if err != nil || second == first || s.Users() != 1 {
		t.Fatalf("user %d after user %d, %d in all: %v", second, first, s.Users(), err)
	}
	if err := api.Remove(t.Context(), second); err != nil || s.Users() != 0 {
		t.Errorf("%v, %d users are left", err, s.Users())
	}
	var status *admin.StatusError
	if err := api.Remove(t.Context(), second); !errors.As(err, &status) || status.Status != http.StatusNotFound {
		t.Errorf("a user who is gone: %v", err)
	}
	api.Token = "guess"
	if _, err := api.Create(t.Context(), "bob", "secret"); !errors.As(err, &status) || status.Status != http.StatusForbidden {
		t.Errorf("a wrong token: %v", err)
	}
}

// dying does what it is told and then loses the reply, the first time.
type dying struct{ calls int }

func (d *dying) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := http.DefaultTransport.RoundTrip(r)
	if d.calls++; d.calls == 1 && err == nil {
		res.Body.Close()
		return nil, io.ErrUnexpectedEOF
	}
	return res, err
}

func TestRemovalSurvivesALostReply(t *testing.T) {
	t.Parallel()
	s := standin.New(t, standin.Options{})
	api := admin.API{Base: s.URL, Token: standin.AdminToken, HTTP: http.DefaultClient}
	id, err := api.Create(t.Context(), "ada", "secret")
	if err != nil {
		t.Fatal(err)
	}
	api.HTTP = &http.Client{Transport: &dying{}}
	if err := api.Remove(t.Context(), id); err != nil || s.Users() != 0 {
		t.Errorf("%v, %d users are left", err, s.Users())
	}
}

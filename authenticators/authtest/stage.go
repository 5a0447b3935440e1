package authtest

import (
	"net/http"
	"strings"
	"testing"

	"countersign/core/api"
	"countersign/core/dbtest"
	"countersign/core/event"
	"countersign/core/resource"
	"countersign/core/resourcetest"
	"countersign/core/secret"
	"countersign/flows"
)

// StageAPI puts the resource of a kind's set-up stage through resourcetest. suite says its path, its bodies and what to
// skip; the rest is filled in here. It gives an administrator's client for what is special.
func StageAPI(t *testing.T, kind func(*secret.Keeper) *flows.Kind, suite resourcetest.Suite) resourcetest.Client {
	t.Helper()
	pool := dbtest.Pool(t)
	keeper, err := secret.New(strings.Repeat("k", secret.MinKey))
	if err != nil {
		t.Fatal(err)
	}
	a := api.New(api.Options{Authenticators: []api.Authenticator{who}})
	r := resource.New(a, pool, &event.Log{})
	flows.MountFlows(r)
	flows.MountStages(a, r, pool, []*flows.Kind{kind(keeper)})
	if err := r.Finish(); err != nil {
		t.Fatal(err)
	}
	if suite.Handler, err = a.Handler(); err != nil {
		t.Fatal(err)
	}
	as := func(name string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+name) }
	}
	suite.Pool, suite.Admin, suite.Other = pool, as(administrator), as("7")
	resourcetest.Run(t, suite)
	return resourcetest.Client{Handler: suite.Handler, As: suite.Admin}
}

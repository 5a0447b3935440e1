package executor_test

import (
	"net/http"
	"testing"

	"github.com/google/uuid"

	"countersign/flows"
	"countersign/flows/flowtest"
)

func TestPages(t *testing.T) {
	t.Parallel()
	x := newSite(t)
	setup := x.Flow(t, "setup", func(f *flows.Flow) {
		f.Designation, f.Authentication = flows.StageConfiguration, flows.RequireAuthenticated
	},
		flowtest.Step{Kind: "marker"})
	x.Flow(t, "a-first", nil)
	configurable := x.Stage(t, "passwordstage", map[string]any{"configure_flow": setup.PK, "backends": []string{}})
	dangling := x.Stage(t, "passwordstage", map[string]any{"configure_flow": uuid.New(), "backends": []string{}})
	nobody, ann := x.client(t), x.client(t)
	ann.logIn("ann")
	x.brand.Authentication = &x.login.PK
	for _, tc := range []struct {
		who    *client
		path   string
		status int
		to     string
	}{
		{nobody, "/if/flow/" + loginSlug + "/", 200, ""},
		{nobody, "/if/flow/no-such-flow/", 404, ""},
		{nobody, "/", 302, "/flows/-/default/authentication/?next=%2F"},
		{nobody, "/?a=b&c=%20", 302, "/flows/-/default/authentication/?next=%2F%3Fa%3Db%26c%3D%2520"},
		{ann, "/", 302, "/if/user/"},
		{ann, "/?a=b", 302, "/if/user/?a=b"},
		{nobody, "/flows/-/default/authentication/?next=%2Fx&y", 302, "/if/flow/" + loginSlug + "/?next=%2Fx&y"},
		{nobody, "/flows/-/default/invalidation/", 302, "/if/flow/default-invalidation-flow/"}, // the brand names none
		{nobody, "/flows/-/default/recovery/", 404, ""},
		{nobody, "/flows/-/default/stage_configuration/", 404, ""},
		{nobody, "/flows/-/cancel/", 302, "/flows/-/default/invalidation/"},
		{nobody, "/flows/-/configure/" + configurable.String() + "/", 302, "/flows/-/default/authentication/?next=%2Fflows%2F-%2Fconfigure%2F" + configurable.String() + "%2F"},
		{nobody, "/flows/-/configure/a%26b/?c=d", 302, "/flows/-/default/authentication/?next=%2Fflows%2F-%2Fconfigure%2Fa%2526b%2F%3Fc%3Dd"},
		{ann, "/flows/-/configure/" + configurable.String() + "/", 302, "/if/flow/setup/"},
		{ann, "/flows/-/configure/" + configurable.String() + "/?next=%2Fx", 302, "/if/flow/setup/?next=%2Fx"},
		{ann, "/flows/-/configure/" + dangling.String() + "/", 404, ""},
		{ann, "/flows/-/configure/" + x.password.String() + "/", 404, ""}, // names no flow
		{ann, "/flows/-/configure/" + uuid.NewString() + "/", 404, ""},
		{ann, "/flows/-/configure/x/", 404, ""},
	} {
		a := tc.who.do(http.MethodGet, tc.path, nil, nil)
		if a.StatusCode != tc.status || a.Header.Get("Location") != tc.to {
			t.Errorf("%s: %d %q, want %d %q", tc.path, a.StatusCode, a.Header.Get("Location"), tc.status, tc.to)
		}
	}
	if a := ann.do(http.MethodGet, at("setup", ""), nil, nil); a.component() != "ak-test-marker" || a.json["pending_user"] != "ann" {
		t.Errorf("the configured flow: %s", a.text)
	}
	// Without the brand's flow the first by slug.
	x.brand.Authentication = nil
	if to := nobody.do(http.MethodGet, "/flows/-/default/authentication/", nil, nil).Header.Get("Location"); to != "/if/flow/a-first/" {
		t.Errorf("the first flow: %q", to)
	}
	gone := uuid.New()
	x.brand.Authentication = &gone
	if to := nobody.do(http.MethodGet, "/flows/-/default/authentication/", nil, nil).Header.Get("Location"); to != "/if/flow/a-first/" {
		t.Errorf("the brand's flow is gone: %q", to)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	x := newSite(t)
	c := x.client(t)
	c.do(http.MethodPost, at(loginSlug, ""), map[string]any{"uid_field": "ann"}, nil)
	other := x.client(t)
	other.do(http.MethodPost, at(loginSlug, ""), map[string]any{"uid_field": "ann"}, nil)
	c.do(http.MethodGet, "/flows/-/cancel/", nil, nil)
	if a := c.do(http.MethodGet, at(loginSlug, ""), nil, nil); a.component() != "ak-stage-identification" {
		t.Errorf("after the cancel: %s", a.text)
	}
	if a := other.do(http.MethodGet, at(loginSlug, ""), nil, nil); a.component() != "ak-stage-password" {
		t.Errorf("another browser: %s", a.text)
	}
}

func TestLogoutFlow(t *testing.T) {
	t.Parallel()
	x := newSite(t)
	c := x.client(t)
	c.logIn("ann")
	a := c.do(http.MethodGet, at(x.logout.Slug, ""), nil, nil)
	if a.component() != flows.ComponentRedirect || a.json["to"] != "/" {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	if to := c.do(http.MethodGet, "/", nil, nil).Header.Get("Location"); to == "/if/user/" {
		t.Error("still logged in")
	}
}

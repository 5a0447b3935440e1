package executor_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/google/uuid"

	"countersign/core/resourcetest"
	"countersign/flows"
	"countersign/flows/flowtest"
)

// The resources of flows, bindings and stages, which the composition of these tests mounts.
func TestResources(t *testing.T) {
	t.Parallel()
	as := func(key string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+key) }
	}
	for _, tc := range []struct {
		path, lookup string
		skip         []string
		valid        func(x *site, target, other uuid.UUID) func(n int) map[string]any
	}{
		{"/flows/instances/", "slug", nil, func(*site, uuid.UUID, uuid.UUID) func(int) map[string]any {
			return func(n int) map[string]any {
				return map[string]any{
					"name": fmt.Sprint("Flow ", n), "slug": fmt.Sprint("flow-", n), "title": "T %(user)s", "designation": "recovery",
					"policy_engine_mode": "all", "compatibility_mode": true, "layout": "sidebar_left", "denied_action": "message",
					"authentication": "require_superuser",
				}
			}
		}},
		{"/flows/bindings/", "", []string{"evaluate_on_plan", "re_evaluate_policies"}, func(_ *site, target, other uuid.UUID) func(int) map[string]any {
			return func(n int) map[string]any {
				return map[string]any{
					"target": target, "stage": other, "order": n, "evaluate_on_plan": true, "re_evaluate_policies": true,
					"policy_engine_mode": "all", "invalid_response_action": "restart",
				}
			}
		}},
		{"/stages/password/", "", nil, func(_ *site, target, _ uuid.UUID) func(int) map[string]any {
			return func(n int) map[string]any {
				return map[string]any{
					"name": fmt.Sprint("password ", n), "backends": []string{"authentik.core.auth.InbuiltBackend"},
					"configure_flow": target, "failed_attempts_before_cancel": 3 + n,
				}
			}
		}},
		{"/stages/identification/", "", []string{"user_fields", "sources"}, func(x *site, target, _ uuid.UUID) func(int) map[string]any {
			return func(n int) map[string]any {
				return map[string]any{
					"name": fmt.Sprint("identification ", n), "user_fields": []string{"upn"}, "password_stage": x.password,
					"case_insensitive_matching": false, "show_matched_user": false, "pretend_user_exists": false,
					"enrollment_flow": target, "recovery_flow": target, "passwordless_flow": target, "show_source_labels": true,
				}
			}
		}},
		{"/stages/user_login/", "", []string{"session_duration", "remember_me_offset"}, func(*site, uuid.UUID, uuid.UUID) func(int) map[string]any {
			return func(n int) map[string]any {
				return map[string]any{
					"name": fmt.Sprint("login ", n), "session_duration": "hours=1", "remember_me_offset": "days=2",
					"terminate_other_sessions": true, "network_binding": "bind_asn", "geoip_binding": "bind_continent",
				}
			}
		}},
		{"/stages/user_logout/", "", nil, func(*site, uuid.UUID, uuid.UUID) func(int) map[string]any {
			return func(n int) map[string]any { return map[string]any{"name": fmt.Sprint("logout ", n)} }
		}},
		{"/stages/authenticator/validate/", "", []string{"last_auth_threshold", "not_configured_action", "configuration_stages", "webauthn_allowed_device_types"},
			func(_ *site, _, other uuid.UUID) func(int) map[string]any {
				return func(n int) map[string]any {
					return map[string]any{
						"name": fmt.Sprint("validate ", n), "not_configured_action": "configure", "configuration_stages": []uuid.UUID{other},
						"device_classes": []string{"mobile"}, "last_auth_threshold": "hours=1", "webauthn_user_verification": "required",
					}
				}
			}},
	} {
		t.Run(tc.path, func(t *testing.T) {
			t.Parallel()
			x := newSite(t)
			target := x.Flow(t, "target", func(f *flows.Flow) { f.Designation = flows.StageConfiguration }).PK
			other := x.Stage(t, "userlogoutstage", nil)
			handler := x.handler
			if tc.path == "/stages/identification/" {
				handler = withUserFields(handler)
			}
			resourcetest.Run(t, resourcetest.Suite{
				Handler: handler, Pool: x.Direct, Path: tc.path, Lookup: tc.lookup, Valid: tc.valid(x, target, other), Skip: tc.skip,
				Admin: as(x.root), Other: as(x.key),
			})
		})
	}
}

// withUserFields adds the list that every change of an identification stage must bring along (core.md §2.1), which the
// suite's changes of one field do not.
func withUserFields(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut || r.Method == http.MethodPatch {
			var body map[string]any
			raw, _ := io.ReadAll(r.Body)
			if json.Unmarshal(raw, &body) == nil && body != nil && body["user_fields"] == nil {
				body["user_fields"] = []string{"upn"}
				raw, _ = json.Marshal(body)
			}
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(raw)), int64(len(raw))
		}
		next.ServeHTTP(w, r)
	})
}

func TestRulesOfResources(t *testing.T) {
	t.Parallel()
	x := newSite(t)
	admin := resourcetest.Client{Handler: x.handler, As: func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+x.root) }}
	flow := x.Flow(t, "target", nil, flowtest.Step{Kind: "userlogoutstage"})
	stage := x.Stage(t, "userlogoutstage", nil)
	binding := admin.Want(t, 201, "POST", "/flows/bindings/", map[string]any{"target": flow.PK, "stage": stage, "order": 5, "evaluate_on_plan": true}).Object(t)
	at := fmt.Sprintf("/flows/bindings/%v/", binding["pk"])
	validate := admin.Want(t, 201, "POST", "/stages/authenticator/validate/", map[string]any{"name": "v"}).Object(t)
	valid := fmt.Sprintf("/stages/authenticator/validate/%v/", validate["pk"])
	ident := admin.Want(t, 201, "POST", "/stages/identification/", map[string]any{"name": "i", "user_fields": []string{"email"}}).Object(t)
	idents := fmt.Sprintf("/stages/identification/%v/", ident["pk"])
	login := admin.Want(t, 201, "POST", "/stages/user_login/", map[string]any{"name": "l"}).Object(t)
	logins := fmt.Sprintf("/stages/user_login/%v/", login["pk"])
	for _, tc := range []struct {
		method, path string
		body         map[string]any
		field        string // "" is accepted
	}{
		{"PATCH", at, map[string]any{"re_evaluate_policies": false}, "non_field_errors"},
		{"PATCH", at, map[string]any{"re_evaluate_policies": false, "evaluate_on_plan": true}, ""},
		{"PATCH", at, map[string]any{"order": 6}, ""},
		{"POST", "/flows/bindings/", map[string]any{"target": flow.PK, "stage": stage, "order": 6}, "non_field_errors"},
		{"POST", "/flows/bindings/", map[string]any{"target": uuid.New(), "stage": stage, "order": 6}, "target"},
		{"POST", "/flows/bindings/", map[string]any{"target": flow.PK, "stage": stage, "order": 7, "invalid_response_action": "x"}, "invalid_response_action"},
		{"PATCH", valid, map[string]any{"not_configured_action": "configure"}, "not_configured_action"},
		{"PATCH", valid, map[string]any{"not_configured_action": "configure", "configuration_stages": []uuid.UUID{}}, "not_configured_action"},
		{"PATCH", valid, map[string]any{"not_configured_action": "configure", "configuration_stages": []uuid.UUID{stage}}, ""},
		{"PATCH", valid, map[string]any{"configuration_stages": []uuid.UUID{uuid.New()}}, "configuration_stages"},
		{"PATCH", valid, map[string]any{"last_auth_threshold": "soon"}, "last_auth_threshold"},
		{"PATCH", valid, map[string]any{"device_classes": []string{"carrier pigeon"}}, "device_classes.0"},
		{"PATCH", idents, map[string]any{"show_matched_user": false}, "non_field_errors"},
		{"PATCH", idents, map[string]any{"user_fields": []string{}}, "non_field_errors"},
		{"PATCH", idents, map[string]any{"user_fields": []string{"upn"}, "show_matched_user": false}, ""},
		{"POST", "/stages/identification/", map[string]any{"name": "i2"}, "non_field_errors"},
		{"PATCH", logins, map[string]any{"session_duration": "x"}, "session_duration"},
		{"PATCH", logins, map[string]any{"remember_me_offset": ""}, "remember_me_offset"},
		{"PATCH", logins, map[string]any{"session_duration": "Hours=1.5;minutes=-3"}, ""},
	} {
		r := admin.Do(t, tc.method, tc.path, tc.body)
		if tc.field == "" && r.Status >= 300 || tc.field != "" && (r.Status != 400 || len(r.Texts(tc.field)) == 0 && r.Object(t)[tc.field] == nil) {
			t.Errorf("%s %s %v: %d %s", tc.method, tc.path, tc.body, r.Status, r.Raw)
		}
	}
	// A flow that goes takes its bindings along, and stages that name it forget it.
	pass := admin.Want(t, 201, "POST", "/stages/password/", map[string]any{"name": "p", "backends": []string{}, "configure_flow": flow.PK}).Object(t)
	admin.Want(t, 204, "DELETE", "/flows/instances/target/", nil)
	admin.Want(t, 404, "GET", at, nil)
	if got := admin.Want(t, 200, "GET", fmt.Sprintf("/stages/password/%v/", pass["pk"]), nil).Object(t); got["configure_flow"] != nil {
		t.Errorf("configure_flow %v", got["configure_flow"])
	}
}

// What an administrator changes through the API is seen by the next request of a flow.
func TestResourcesReachTheEngine(t *testing.T) {
	t.Parallel()
	x := newSite(t)
	admin := resourcetest.Client{Handler: x.handler, As: func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+x.root) }}
	c := x.client(t)
	if a := c.do(http.MethodGet, at(loginSlug, ""), nil, nil); a.json["primary_action"] != "Log in" {
		t.Fatal(a.text)
	}
	admin.Want(t, 200, "PATCH", "/flows/instances/"+loginSlug+"/", map[string]any{"designation": "recovery", "title": "New"})
	a := c.do(http.MethodGet, at(loginSlug, ""), nil, nil)
	if info, _ := a.json["flow_info"].(map[string]any); a.json["primary_action"] != "Continue" || info["title"] != "New" {
		t.Error(a.text)
	}
	list := admin.Want(t, 200, "GET", "/stages/all/?name=none", nil).Object(t)
	if p, _ := list["pagination"].(map[string]any); p["count"] != float64(0) {
		t.Errorf("%v", list)
	}
}

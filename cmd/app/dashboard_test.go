package app_test

import (
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"

	"countersign/simulator/browser"
	"countersign/simulator/phone"
)

// metricName finds the metrics that a query of the dashboard names.
var metricName = regexp.MustCompile(`\b(?:countersign|process|go)_[a-z0-9_]+`)

// G23: every metric that the dashboard shows is there after a login by phone, with every stage that the login had; and G12: an
// administrator sees how far the request came.
func TestDashboardShowsWhatThereIs(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../docs/grafana/countersign.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(raw, &dashboard); err != nil {
		t.Fatal(err)
	}
	n := start(t, nil)
	screen := &phone.Screen{}
	_, account := n.enrolled(phone.Approve(screen))
	result, err := n.browser(screen.Show).Login(t.Context(), "akadmin", adminPassword)
	if err != nil || result.Outcome != browser.Approved {
		t.Fatalf("%v %+v", err, result)
	}
	page := func() string { return n.call(http.MethodGet, "/-/metrics/", "", nil).body }
	for _, stage := range []string{"created", "sent", "accepted", "fetched", "answered", "released"} {
		eventually(t, "the stage "+stage+" is counted", func() bool {
			return strings.Contains(page(), `stage="`+stage+`"} 1`)
		})
	}
	there := page()
	seen := 0
	for _, p := range dashboard.Panels {
		if len(p.Targets) == 0 {
			t.Errorf("%s shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			for _, name := range metricName.FindAllString(target.Expr, -1) {
				seen++
				if !strings.Contains(there, "\n"+name+"{") && !strings.Contains(there, "\n"+name+" ") {
					t.Errorf("%s shows %s, which is not there", p.Title, name)
				}
			}
		}
	}
	if seen < 10 {
		t.Errorf("the dashboard shows %d metrics", seen)
	}

	path := "/api/v3/authenticators/admin/mobile/" + account.Device + "/deliveries/"
	eventually(t, "the administrator sees the request's way", func() bool {
		var list []map[string]any
		a := n.call(http.MethodGet, path, adminToken, nil)
		if err := json.Unmarshal([]byte(a.body), &list); a.status != 200 || err != nil || len(list) != 1 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		return list[0]["status"] == "accept" && list[0]["accepted"] != nil && list[0]["released"] != nil
	})
	if a := n.call(http.MethodGet, path, "", nil); a.status != 403 {
		t.Errorf("nobody in particular: %d %s", a.status, a.body)
	}
	if a := n.call(http.MethodGet, "/api/v3/authenticators/admin/mobile/"+uuid.NewString()+"/deliveries/", adminToken, nil); a.status != 404 {
		t.Errorf("no such phone: %d %s", a.status, a.body)
	}
}

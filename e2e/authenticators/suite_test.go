package authenticators

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"countersign/e2e/chromium"
	"countersign/e2e/scene"
	"countersign/e2e/testbed"
)

const specLimit = scene.Limit

func TestAuthenticators(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "Second factors")
}

// What the specs share: each makes people, and flows that are not the default ones, of its own.
var (
	bed    *testbed.Bed
	server *testbed.Server
	chrome *chromium.Browser
)

var _ = BeforeSuite(func(ctx SpecContext) {
	chrome, bed = scene.Prepare(ctx, testbed.WithOutside())
	var err error
	// Browsers tell where they are, as a proxy in front would.
	server, err = bed.Serve(ctx, "COUNTERSIGN_TRUSTED_PROXIES=127.0.0.1/32")
	Expect(err).NotTo(HaveOccurred())
}, NodeTimeout(scene.PrepareLimit))

// newScene makes a person who goes by the server's name: passkeys are for names.
func newScene(ctx context.Context) *scene.Scene {
	GinkgoHelper()
	s := scene.New(ctx, chrome, server)
	s.Base = server.Named()
	return s
}

// insider is a new scene with a browser in which the person is logged in.
func insider(ctx context.Context) (*scene.Scene, *chromium.Tab) {
	GinkgoHelper()
	s := newScene(ctx)
	tab := s.Tab(chromium.Desktop)
	s.LogIn(tab)
	s.Inside(tab)
	return s, tab
}

// setUp opens a set-up flow in a browser in which the person is logged in.
func setUp(tab *chromium.Tab, slug string) {
	GinkgoHelper()
	Expect(tab.Open(scene.FlowPath(slug))).To(Succeed())
}

// typeCode types a code where one is asked for, over what stands there.
func typeCode(tab *chromium.Tab, code string) {
	GinkgoHelper()
	Eventually(tab.Focus).Should(Equal("code"))
	enter(tab, "code", code)
}

// enter types into the field of a name, over what stands there, and sends the form.
func enter(tab *chromium.Tab, name, text string) {
	GinkgoHelper()
	Eventually(selected).WithArguments(tab, name).Should(BeTrue(), "the page has a field "+name)
	Expect(tab.Enter(text)).To(Succeed())
}

// selected selects what stands in a field; false if the page has none of that name.
func selected(tab *chromium.Tab, name string) (bool, error) {
	return chromium.Value[bool](tab, fmt.Sprintf(`(() => {
		const field = document.querySelector("input[name=%s]");
		field?.focus();
		field?.select();
		return field !== null && document.activeElement === field;
	})()`, name))
}

// insist types a code until it lets the person in: the wrong one before costs a pause, within which none is looked at.
func insist(s *scene.Scene, tab *chromium.Tab, code func() string) {
	GinkgoHelper()
	Eventually(func() (string, error) {
		if ready, err := selected(tab, "code"); err == nil && ready {
			_ = tab.Enter(code()) // the page may be about to leave
		}
		return tab.Path()
	}).WithPolling(200 * time.Millisecond).Should(Equal("/if/user/"))
	s.Inside(tab)
}

// click clicks once there is something to click.
func click(tab *chromium.Tab, text string) {
	GinkgoHelper()
	Eventually(tab.Click).WithArguments(text).Should(Succeed())
}

// shown is the text of the elements that a selector finds.
func shown(tab *chromium.Tab, selector string) []string {
	GinkgoHelper()
	var texts []string
	Eventually(func() ([]string, error) {
		var err error
		texts, err = chromium.Value[[]string](tab, fmt.Sprintf("[...document.querySelectorAll(%q)].map((e) => e.textContent.trim())", selector))
		return texts, err
	}).ShouldNot(BeEmpty(), selector+" is shown")
	return texts
}

// The administrator's acts.

type named struct {
	PK   string `json:"pk"`
	Slug string `json:"slug"`
}

// newStage makes a stage; path is below /stages/.
func newStage(ctx context.Context, path string, settings map[string]any) (pk string) {
	GinkgoHelper()
	settings["name"] = testbed.Name("stage")
	var made named
	Expect(server.Call(ctx, http.MethodPost, "/stages/"+path+"/", settings, &made)).To(Succeed())
	return made.PK
}

// stage finds one of the default stages.
func stage(ctx context.Context, name string) (pk string) {
	GinkgoHelper()
	var found struct{ Results []named }
	Expect(server.Call(ctx, http.MethodGet, "/stages/all/?name="+url.QueryEscape(name), nil, &found)).To(Succeed())
	Expect(found.Results).To(HaveLen(1), name)
	return found.Results[0].PK
}

// newFlow makes a flow of stages in this order.
func newFlow(ctx context.Context, designation, requirement string, stages ...string) (slug string) {
	GinkgoHelper()
	slug = testbed.Name("flow")
	var made named
	Expect(server.Call(ctx, http.MethodPost, "/flows/instances/", map[string]any{
		"name": slug, "slug": slug, "title": "Test", "designation": designation, "authentication": requirement,
	}, &made)).To(Succeed())
	for i, pk := range stages {
		Expect(server.Call(ctx, http.MethodPost, "/flows/bindings/", map[string]any{"target": made.PK, "stage": pk, "order": i}, nil)).To(Succeed())
	}
	return slug
}

// newSetUp makes a set-up flow of one stage, and gives both.
func newSetUp(ctx context.Context, path string, settings map[string]any) (slug, pk string) {
	GinkgoHelper()
	pk = newStage(ctx, path, settings)
	return newFlow(ctx, "stage_configuration", "require_authenticated", pk), pk
}

// newLogin makes a login that asks for a name, a password, and a second factor by these settings.
func newLogin(ctx context.Context, validation map[string]any) (slug string) {
	GinkgoHelper()
	return newFlow(ctx, "authentication", "none", stage(ctx, "default-authentication-identification"), stage(ctx, "default-authentication-password"),
		newStage(ctx, "authenticator/validate", validation), stage(ctx, "default-authentication-login"))
}

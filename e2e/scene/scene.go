package scene

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"countersign/e2e/chromium"
	"countersign/e2e/testbed"
)

// picturesEnv names a directory that gets a picture of each tab of a spec that failed.
const picturesEnv = "COUNTERSIGN_TEST_PICTURES"

// Limits of time.
const (
	Limit        = 30 * time.Second // for one spec
	PrepareLimit = 4 * time.Minute  // for Prepare and a server's start
)

// Prepare starts what the specs of a suite share; it ends with the suite. The suite is skipped where there is no Chromium.
func Prepare(ctx context.Context, o ...testbed.Option) (*chromium.Browser, *testbed.Bed) {
	GinkgoHelper()
	SetDefaultEventuallyTimeout(10 * time.Second)
	SetDefaultEventuallyPollingInterval(20 * time.Millisecond)
	chrome := chromium.StartFor(GinkgoTB())
	bed, err := testbed.New(ctx, o...)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(bed.Close)
	return chrome, bed
}

// Scene is one person, and what happens to them in a spec.
type Scene struct {
	Server *testbed.Server
	Person *testbed.Person
	Base   string // the address that the person types; default: the server's

	chrome *chromium.Browser
	tabs   []*chromium.Tab
}

// New makes a person. When the spec ends, no page may have complained.
func New(ctx context.Context, chrome *chromium.Browser, server *testbed.Server) *Scene {
	GinkgoHelper()
	person, err := server.NewPerson(ctx)
	Expect(err).NotTo(HaveOccurred())
	s := &Scene{Server: server, Person: person, Base: server.URL, chrome: chrome}
	from := server.Log.Len()
	// Registered before the tabs are closed, so run after: what failed is told with them still open.
	DeferCleanup(func() {
		for _, t := range s.tabs {
			if !CurrentSpecReport().Failed() {
				Expect(t.Complaints()).To(BeEmpty(), "complaints of the browser")
			}
		}
		if CurrentSpecReport().Failed() {
			s.tell(from)
		}
		for i := range s.tabs { // those opened later first
			s.tabs[len(s.tabs)-1-i].Close()
		}
	})
	return s
}

// tell attaches the server's log and what the tabs show to the report.
func (s *Scene) tell(from int) {
	AddReportEntry("server log", s.Server.Log.Since(from))
	for i, t := range s.tabs {
		path, _ := t.Path()
		text, err := t.Text()
		AddReportEntry(fmt.Sprintf("tab %d at %s", i+1, path), fmt.Sprintf("%s\ncomplaints: %v, error: %v", text, t.Complaints(), err))
		dir := os.Getenv(picturesEnv)
		if dir == "" {
			continue
		}
		if png, err := t.Picture(); err == nil {
			name := strings.ReplaceAll(CurrentSpecReport().LeafNodeText, " ", "-") + fmt.Sprintf("-%d.png", i+1)
			_ = os.WriteFile(filepath.Join(dir, name), png, 0o600) // a report on a failure is not to fail
		}
	}
}

// Tab opens a tab without cookies: another browser of the person.
func (s *Scene) Tab(size chromium.Size) *chromium.Tab {
	GinkgoHelper()
	t, err := s.chrome.NewTab(s.Base, size)
	Expect(err).NotTo(HaveOccurred())
	s.tabs = append(s.tabs, t)
	return t
}

// Another opens a tab beside one, in the same browser.
func (s *Scene) Another(beside *chromium.Tab) *chromium.Tab {
	GinkgoHelper()
	t, err := beside.Another()
	Expect(err).NotTo(HaveOccurred())
	s.tabs = append(s.tabs, t)
	return t
}

// accountPath is the account page.
const accountPath = "/if/user/"

// FlowPath is the page of a flow that leads to the account page.
func FlowPath(slug string) string { return "/if/flow/" + slug + "/?next=%2Fif%2Fuser%2F" }

// LoginPath is the page of the default login.
var LoginPath = FlowPath(testbed.LoginFlow)

// LogIn goes through the default login up to the second factor.
func (s *Scene) LogIn(t *chromium.Tab) {
	GinkgoHelper()
	s.LogInBy(t, testbed.LoginFlow)
}

// LogInBy is LogIn through a flow that asks for a name, then for a password.
func (s *Scene) LogInBy(t *chromium.Tab, slug string) {
	GinkgoHelper()
	Expect(t.Open(FlowPath(slug))).To(Succeed())
	Eventually(t.Focus).Should(Equal("uid_field"))
	Expect(t.Enter(s.Person.Username)).To(Succeed())
	s.Password(t)
}

// Password types the password where it is asked for.
func (s *Scene) Password(t *chromium.Tab) {
	GinkgoHelper()
	Eventually(t.Focus).Should(Equal("password"))
	Expect(t.Enter(s.Person.Password)).To(Succeed())
}

// Inside waits until the person is logged in and sees the account page.
func (s *Scene) Inside(t *chromium.Tab) {
	GinkgoHelper()
	Eventually(t.Path).Should(Equal(accountPath))
	Eventually(t.Heading).Should(Equal(s.Person.Name))
}

// Outside shows that the browser is not logged in.
func (s *Scene) Outside(t *chromium.Tab) {
	GinkgoHelper()
	Expect(chromium.Value[int](t, "fetch('/api/v3/core/users/me/').then((r) => r.status)")).To(Equal(403))
}

// NoOverflow shows that the page fits the tab.
func NoOverflow(t *chromium.Tab) {
	GinkgoHelper()
	Expect(t.Overflows()).To(BeFalse(), "the page is wider than the tab")
}

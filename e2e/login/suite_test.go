package login

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"countersign/e2e/chromium"
	"countersign/e2e/testbed"
	"countersign/simulator/fcm"
	"countersign/simulator/phone"
)

// picturesEnv names a directory that gets a picture of each tab of a spec that failed.
const picturesEnv = "COUNTERSIGN_E2E_PICTURES"

// specLimit is how long a spec may take.
const specLimit = 30 * time.Second

func TestLogin(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "A phone approves a login")
}

// What the specs share: each makes people of its own, so that they do not meet.
var (
	bed    *testbed.Bed
	server *testbed.Server
	chrome *chromium.Browser
)

var _ = BeforeSuite(func(ctx SpecContext) {
	SetDefaultEventuallyTimeout(10 * time.Second)
	SetDefaultEventuallyPollingInterval(20 * time.Millisecond)
	var err error
	if chrome, err = chromium.Start(); errors.Is(err, chromium.ErrMissing) && os.Getenv("CI") != "true" {
		Skip("no browser to drive: " + err.Error())
	}
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(chrome.Close)
	bed, err = testbed.New(ctx)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() error { return bed.Close() })
	server, err = bed.Serve(ctx)
	Expect(err).NotTo(HaveOccurred())
}, NodeTimeout(4*time.Minute))

// scene is one person with phones, and what happens to them in a spec.
type scene struct {
	server *testbed.Server
	person *testbed.Person
	tabs   []*chromium.Tab
}

// newScene makes a person with phones of these names, already enrolled.
func newScene(ctx context.Context, on *testbed.Server, phones ...*phone.Phone) *scene {
	GinkgoHelper()
	person, err := on.NewPerson(ctx)
	Expect(err).NotTo(HaveOccurred())
	if len(phones) > 0 {
		Expect(person.Enrol(ctx, phones...)).To(Succeed())
	}
	s := &scene{server: on, person: person}
	from := on.Log.Len()
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
func (s *scene) tell(from int) {
	AddReportEntry("server log", s.server.Log.Since(from))
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

// newPhone is a phone that leaves its rings to the spec.
func newPhone(name string) *phone.Phone {
	p := bed.NewPhone(name, phone.Options{})
	DeferCleanup(p.Close)
	return p
}

// tab opens a tab without cookies.
func (s *scene) tab(size chromium.Size) *chromium.Tab {
	GinkgoHelper()
	t, err := chrome.NewTab(s.server.URL, size)
	Expect(err).NotTo(HaveOccurred())
	s.tabs = append(s.tabs, t)
	return t
}

// loginPath is the login that leads to the account page.
const loginPath = "/if/flow/" + testbed.LoginFlow + "/?next=%2Fif%2Fuser%2F"

// logIn goes through the login up to where the phone is asked.
func (s *scene) logIn(t *chromium.Tab) {
	GinkgoHelper()
	Expect(t.Open(loginPath)).To(Succeed())
	Eventually(t.Focus).Should(Equal("uid_field"))
	Expect(t.Keys(s.person.Username + kb.Enter)).To(Succeed())
	Eventually(t.Focus).Should(Equal("password"))
	Expect(t.Keys(s.person.Password + kb.Enter)).To(Succeed())
}

// inside waits until the person is logged in and sees the account page.
func (s *scene) inside(t *chromium.Tab) {
	GinkgoHelper()
	Eventually(t.Path).Should(Equal("/if/user/"))
	Eventually(t.Heading).Should(Equal(s.person.Name))
}

// outside shows that the browser is not logged in.
func (s *scene) outside(t *chromium.Tab) {
	GinkgoHelper()
	Expect(chromium.Value[int](t, "fetch('/api/v3/core/users/me/').then((r) => r.status)")).To(Equal(403))
}

// number waits until the page shows the number to tap, and gives it.
func number(t *chromium.Tab) string {
	GinkgoHelper()
	Eventually(t.Heading).Should(Equal("Tap this number on your phone"))
	var shown string
	Eventually(func() (string, error) {
		var err error
		shown, err = chromium.Value[string](t, "document.querySelector('.number')?.textContent ?? ''")
		return shown, err
	}).Should(MatchRegexp(`^[0-9]+$`))
	return shown
}

// ringing waits until the phone rings.
func ringing(ctx context.Context, p *phone.Phone) phone.Ring {
	GinkgoHelper()
	r, err := p.AwaitRing(ctx, func(r phone.Ring) bool { return r.State == phone.Ringing })
	Expect(err).NotTo(HaveOccurred(), "the phone does not ring")
	return r
}

// answerable is ringing, where the phone has the number that the page shows.
func answerable(ctx context.Context, t *chromium.Tab, p *phone.Phone) (r phone.Ring, shown string) {
	GinkgoHelper()
	r, shown = ringing(ctx, p), number(t)
	Expect(r.Items).To(ContainElement(shown), "the number on the page is one of the phone's")
	return r, shown
}

// sends are the pushes to a phone so far.
func sends(p *phone.Phone) []fcm.Record {
	return bed.Push.History(fcm.Filter{Address: p.Address()})
}

// noOverflow shows that the page fits the tab.
func noOverflow(t *chromium.Tab) {
	GinkgoHelper()
	Expect(t.Overflows()).To(BeFalse(), "the page is wider than the tab")
}

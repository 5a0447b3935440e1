package phone

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"countersign/e2e/chromium"
	"countersign/e2e/scene"
	"countersign/e2e/testbed"
	"countersign/mobile/wire"
	"countersign/simulator/webpush"
)

const (
	specLimit = scene.Limit
	phonePath = "/if/phone/"
)

func TestPhone(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "The phone as a page")
}

// What the specs share: each makes people of its own.
var (
	bed    *testbed.Bed
	server *testbed.Server
	chrome *chromium.Browser
	push   *webpush.Double
	setup  string // the set-up stage
)

// accept has the server take answers that are authenticated so, and better ones.
func accept(ctx context.Context, answers string) {
	GinkgoHelper()
	Expect(server.Call(ctx, http.MethodPatch, "/stages/authenticator/mobile/"+setup+"/", map[string]any{"accepted_answers": answers}, nil)).To(Succeed())
}

var _ = BeforeSuite(func(ctx SpecContext) {
	chrome, bed = scene.Prepare(ctx)
	var err error
	push = webpush.New(webpush.Options{})
	service := httptest.NewServer(push)
	DeferCleanup(service.Close)
	push.SetBase(service.URL)
	server, err = bed.Serve(ctx, "COUNTERSIGN_PUSH_WEBPUSH_ALLOWED_HOSTS="+strings.TrimPrefix(service.URL, "http://"))
	Expect(err).NotTo(HaveOccurred())
	var found struct{ Results []struct{ PK string } }
	Expect(server.Call(ctx, http.MethodGet, "/stages/authenticator/mobile/", nil, &found)).To(Succeed())
	Expect(found.Results).To(HaveLen(1))
	setup = found.Results[0].PK
	accept(ctx, "signed_user_verified")
}, NodeTimeout(scene.PrepareLimit))

// ask has the server ask in a mode beyond picking one of three, until the spec ends.
func ask(ctx context.Context, mode string) {
	GinkgoHelper()
	set := func(ctx context.Context, mode string) {
		Expect(server.Call(ctx, http.MethodPatch, "/stages/authenticator/mobile/"+setup+"/", map[string]any{"answer_mode": mode}, nil)).To(Succeed())
	}
	set(ctx, mode)
	DeferCleanup(func(ctx SpecContext) { set(ctx, "item_matching") })
}

// actor is a person with a computer's browser and a phone's.
type actor struct {
	*scene.Scene
	computer, phone *chromium.Tab
	finger          *chromium.Authenticator // what checks the phone's owner
}

// newActor makes a person without an authenticator, signed in at the computer. Passkeys are for names, so the server has one.
func newActor(ctx context.Context) *actor {
	GinkgoHelper()
	return newActorAt(ctx, server)
}

func newActorAt(ctx context.Context, at *testbed.Server) *actor {
	GinkgoHelper()
	s := scene.New(ctx, chrome, at)
	s.Base = at.Named()
	a := &actor{Scene: s, computer: s.Tab(chromium.Desktop), phone: s.Tab(chromium.Phone)}
	s.LogIn(a.computer)
	s.Inside(a.computer)
	return a
}

// enrolled is newActor with the phone added by the link of its code.
func enrolled(ctx context.Context) *actor {
	GinkgoHelper()
	a := newActor(ctx)
	a.plug()
	a.openCode(a.code())
	a.add()
	return a
}

// plug gives the phone something that checks its owner.
func (a *actor) plug() {
	GinkgoHelper()
	var err error
	a.finger, err = a.phone.Plug()
	Expect(err).NotTo(HaveOccurred())
}

// code is what the set-up page shows for the phone.
func (a *actor) code() string {
	GinkgoHelper()
	Expect(a.computer.Open(scene.FlowPath(testbed.SetupFlow))).To(Succeed())
	var code string
	Eventually(func() (string, error) {
		var err error
		code, err = chromium.Value[string](a.computer, "document.querySelector('textarea.mono')?.value ?? ''")
		return code, err
	}).ShouldNot(BeEmpty())
	var payload wire.Payload
	Expect(json.Unmarshal([]byte(code), &payload)).To(Succeed())
	return code
}

// openCode opens the phone's page by a link.
func (a *actor) openCode(code string) {
	GinkgoHelper()
	Expect(a.phone.Open(phonePath + "#" + url.PathEscape(code))).To(Succeed())
}

// add goes through the phone's screens from the code to the ready account.
func (a *actor) add() {
	GinkgoHelper()
	Eventually(a.phone.Heading).Should(Equal("Add this account?"))
	Expect(chromium.Value[string](a.phone, "location.hash")).To(BeEmpty(), "the code does not stay in the address")
	scene.NoOverflow(a.phone)
	click(a.phone, "Add this account")
	a.recognise()
	Eventually(a.phone.Heading).Should(Equal("Your phone is ready"))
	a.Inside(a.computer)
	click(a.phone, "Done")
	Eventually(a.phone.Heading).Should(Equal("Your authenticator"))
}

// recognise compares what the two screens show, and says at the computer that it is the same.
func (a *actor) recognise() {
	GinkgoHelper()
	Eventually(a.phone.Heading).Should(Equal("Compare this number"))
	scene.NoOverflow(a.phone)
	Eventually(a.computer.Heading).Should(Equal("Does your phone show this?"))
	scene.NoOverflow(a.computer)
	shown, err := chromium.Value[string](a.phone, "document.querySelector('.shown.digits').textContent")
	Expect(err).NotTo(HaveOccurred())
	Expect(chromium.Value[string](a.computer, "document.querySelector('.key').textContent")).To(Equal(shown))
	click(a.computer, "Yes, it is the same")
}

// asks signs in at another browser of the person up to the phone's question, and gives it.
func (a *actor) asks() *chromium.Tab {
	GinkgoHelper()
	tab := a.Tab(chromium.Desktop)
	a.LogIn(tab)
	Eventually(a.phone.Heading).Should(Equal("Is this you?"))
	scene.NoOverflow(a.phone)
	return tab
}

// answer clicks once the question takes answers: it does not in its first moment.
func (a *actor) answer(text string) {
	GinkgoHelper()
	Eventually(count(a.phone, ".answer .button:not([aria-disabled])")).ShouldNot(BeZero())
	click(a.phone, text)
}

// number is the one that a login page shows.
func number(tab *chromium.Tab) string {
	GinkgoHelper()
	var shown string
	Eventually(func() (string, error) {
		var err error
		shown, err = chromium.Value[string](tab, "document.querySelector('.number')?.textContent ?? ''")
		return shown, err
	}).Should(MatchRegexp(`^[0-9]+$`))
	return shown
}

// click clicks once there is something to click.
func click(tab *chromium.Tab, text string) {
	GinkgoHelper()
	Eventually(tab.Click).WithArguments(text).Should(Succeed())
}

// count is how many elements a selector finds.
func count(tab *chromium.Tab, selector string) func() (int, error) {
	return func() (int, error) {
		return chromium.Value[int](tab, fmt.Sprintf("document.querySelectorAll(%q).length", selector))
	}
}

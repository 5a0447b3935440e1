package login

import (
	"context"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"countersign/e2e/chromium"
	"countersign/e2e/scene"
	"countersign/e2e/testbed"
	"countersign/simulator/fcm"
	"countersign/simulator/phone"
)

// specLimit is how long a spec may take.
const specLimit = scene.Limit

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
	chrome, bed = scene.Prepare(ctx)
	var err error
	server, err = bed.Serve(ctx)
	Expect(err).NotTo(HaveOccurred())
}, NodeTimeout(scene.PrepareLimit))

// newScene makes a person with phones of these names, already enrolled.
func newScene(ctx context.Context, on *testbed.Server, phones ...*phone.Phone) *scene.Scene {
	GinkgoHelper()
	s := scene.New(ctx, chrome, on)
	if len(phones) > 0 {
		Expect(s.Person.Enrol(ctx, phones...)).To(Succeed())
	}
	return s
}

// newPhone is a phone that leaves its rings to the spec.
func newPhone(name string) *phone.Phone {
	p := bed.NewPhone(name, phone.Options{})
	DeferCleanup(p.Close)
	return p
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

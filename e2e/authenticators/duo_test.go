package authenticators

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"countersign/e2e/chromium"
	"countersign/e2e/scene"
	"countersign/e2e/testbed"
)

// enrolDuo adds Duo by the code that the page shows; the person is logged in in the tab.
func enrolDuo(ctx context.Context, s *scene.Scene, tab *chromium.Tab) {
	GinkgoHelper()
	slug, _ := newSetUp(ctx, "authenticator/duo", map[string]any{
		"client_id": testbed.DuoKey, "client_secret": testbed.DuoSecret, "api_hostname": testbed.DuoHost,
	})
	setUp(tab, slug)
	Eventually(tab.Heading).Should(Equal("Add Duo"))
	Eventually(func() (int, error) {
		return chromium.Value[int](tab, "document.querySelector('.qr img')?.naturalWidth ?? 0")
	}).Should(BeNumerically(">", 0), "the QR code is drawn")
	scene.NoOverflow(tab)
	Expect(bed.Outside.Duo.Scan(shown(tab, ".key")[0])).To(Succeed())
	Eventually(tab.Heading).Should(Equal("Duo is ready"))
	s.Inside(tab)
}

var _ = Describe("Duo", Label("authenticators"), func() {
	It("is set up by its code; at the next login its app is asked, denies, is asked again and approves", SpecTimeout(specLimit), func(ctx SpecContext) {
		s, tab := insider(ctx)
		enrolDuo(ctx, s, tab)

		other := s.Tab(chromium.Phone)
		s.LogIn(other)
		Eventually(other.Heading).Should(Equal("Approve with Duo"))
		scene.NoOverflow(other)
		Expect(bed.Outside.Duo.Deny(ctx, s.Person.Username)).To(Succeed())
		Eventually(other.Heading).Should(Equal("Duo did not approve"))
		s.Outside(other)
		click(other, "Try again")
		Eventually(other.Heading).Should(Equal("Approve with Duo"))
		Expect(bed.Outside.Duo.Approve(ctx, s.Person.Username)).To(Succeed())
		s.Inside(other)
		Expect(bed.Outside.Duo.Pushes(s.Person.Username)).To(Equal(2))
	})
})

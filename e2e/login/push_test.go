package login

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"countersign/e2e/chromium"
	"countersign/e2e/scene"
	"countersign/simulator/fcm"
	"countersign/simulator/phone"
)

// outOfReach is what the page says, by the push service's error.
func outOfReach(code fcm.Code) string {
	why := map[fcm.Code]string{
		fcm.Unregistered: "The app on your phone can no longer be rung.", fcm.QuotaExceeded: "Phones are rung too often at the moment.",
	}[code]
	if why == "" {
		why = "We could not reach your phone."
	}
	return why + " Open the app: the request is waiting there."
}

var _ = Describe("The push does not arrive", Label("main-job"), func() {
	// refused logs in while the push service refuses, and shows that the page says so within a second.
	refused := func(ctx SpecContext, s *scene.Scene, tab *chromium.Tab, p *phone.Phone, code fcm.Code) {
		GinkgoHelper()
		address := p.Address()
		s.LogIn(tab)
		sent, err := bed.Push.Await(ctx, func(r fcm.Record) bool { return r.Address == address && r.Error == code })
		Expect(err).NotTo(HaveOccurred())
		Eventually(tab.Text).WithTimeout(time.Until(sent.Time.Add(time.Second))).WithPolling(10*time.Millisecond).
			Should(ContainSubstring(outOfReach(code)), "within a second of the refused push")
		scene.NoOverflow(tab)
	}

	It("lost push, the address is dead: the page says so, the phone looks by itself and approves", SpecTimeout(specLimit), func(ctx SpecContext) {
		p := newPhone("Pixel")
		s := newScene(ctx, server, p)
		tab := s.Tab(chromium.Phone)
		bed.Push.Unregister(p.Address())
		refused(ctx, s, tab, p, fcm.Unregistered)
		Expect(p.Rings()).To(BeEmpty())
		Expect(p.Refresh(ctx)).To(Succeed())
		ring, shown := answerable(ctx, tab, p)
		Expect(p.Answer(ctx, ring.TxID, shown)).To(Succeed())
		s.Inside(tab)

		By("with a new address it is rung again")
		Expect(p.RotateAddress(ctx)).To(Succeed())
		other := s.Tab(chromium.Phone)
		s.LogIn(other)
		ring, shown = answerable(ctx, other, p)
		Expect(p.Answer(ctx, ring.TxID, shown)).To(Succeed())
		s.Inside(other)
	})

	It("lost push, the service is down: the page says so, and a later try rings the phone", SpecTimeout(specLimit), func(ctx SpecContext) {
		p := newPhone("Pixel")
		s := newScene(ctx, server, p)
		tab := s.Tab(chromium.Desktop)
		Expect(bed.Push.SetScript(p.Address(), fcm.Script{Steps: []fcm.Step{{Error: fcm.Unavailable}}})).To(Succeed())
		refused(ctx, s, tab, p, fcm.Unavailable)
		ring, shown := answerable(ctx, tab, p) // the server tries again within the answer window
		Expect(p.Answer(ctx, ring.TxID, shown)).To(Succeed())
		s.Inside(tab)
	})

	It("lost push, the service stays down: the phone looks by itself and approves", SpecTimeout(specLimit), func(ctx SpecContext) {
		p := newPhone("Pixel")
		s := newScene(ctx, server, p)
		tab := s.Tab(chromium.Desktop)
		Expect(bed.Push.SetScript(p.Address(), fcm.Script{Steps: []fcm.Step{{Error: fcm.QuotaExceeded}}, Repeat: true})).To(Succeed())
		refused(ctx, s, tab, p, fcm.QuotaExceeded)
		Expect(p.Refresh(ctx)).To(Succeed())
		ring, shown := answerable(ctx, tab, p)
		Expect(p.Answer(ctx, ring.TxID, shown)).To(Succeed())
		s.Inside(tab)
	})

	It("lost push, on its way: the phone looks by itself and approves", SpecTimeout(specLimit), func(ctx SpecContext) {
		p := newPhone("Pixel")
		s := newScene(ctx, server, p)
		tab := s.Tab(chromium.Phone)
		Expect(bed.Push.SetScript(p.Address(), fcm.Script{Steps: []fcm.Step{{Lose: true}}})).To(Succeed())
		address := p.Address()
		s.LogIn(tab)
		_, err := bed.Push.Await(ctx, func(r fcm.Record) bool { return r.Address == address && r.Delivery == fcm.Lost })
		Expect(err).NotTo(HaveOccurred())
		number(tab)
		Expect(p.Rings()).To(BeEmpty())
		Expect(p.Refresh(ctx)).To(Succeed())
		ring, shown := answerable(ctx, tab, p)
		Expect(p.Answer(ctx, ring.TxID, shown)).To(Succeed())
		s.Inside(tab)
	})
})

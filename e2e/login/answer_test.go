package login

import (
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"countersign/e2e/chromium"
	"countersign/e2e/scene"
	"countersign/e2e/testbed"
	"countersign/mobile/wire"
	"countersign/simulator/phone"
)

var _ = Describe("The phone answers", Label("main-job"), func() {
	DescribeTable("approve: the browser goes on by itself", func(ctx SpecContext, size chromium.Size) {
		p := newPhone("Pixel")
		s := newScene(ctx, server, p)
		tab := s.Tab(size)
		s.LogIn(tab)
		ring, shown := answerable(ctx, tab, p)
		scene.NoOverflow(tab)
		s.Outside(tab)

		By("the phone shows where and what")
		Expect(ring.Mode).To(Equal(wire.NumberMatching3))
		Expect(ring.Items).To(HaveLen(3))
		Expect(ring.Context.IP).To(Equal("127.0.0.1"))
		Expect(ring.Context.Host).To(HavePrefix("127.0.0.1"))
		Expect(ring.Context.Browser).To(ContainSubstring("Chrom"))
		Expect(ring.Context.Application).NotTo(BeEmpty())
		Expect(ring.Context.Time).To(BeTemporally("~", time.Now(), time.Minute))

		By("the push tells nothing to those on its way")
		Expect(sends(p)).To(HaveLen(1))
		push := string(sends(p)[0].Request)
		Expect(push).NotTo(ContainSubstring(s.Person.Username))
		for _, item := range ring.Items {
			Expect(push).NotTo(ContainSubstring(`"` + item + `"`))
		}

		Expect(p.Answer(ctx, ring.TxID, shown)).To(Succeed())
		s.Inside(tab)
		scene.NoOverflow(tab)
	},
		Entry("on a desktop", SpecTimeout(specLimit), chromium.Desktop),
		Entry("on a phone's browser", SpecTimeout(specLimit), chromium.Phone),
	)

	It("deny: the login is over, and nothing more is sent", SpecTimeout(specLimit), func(ctx SpecContext) {
		p := newPhone("Pixel")
		s := newScene(ctx, server, p)
		tab := s.Tab(chromium.Phone)
		s.LogIn(tab)
		ring, shown := answerable(ctx, tab, p)
		Expect(p.Answer(ctx, ring.TxID, wire.ItemDeny)).To(Succeed())
		Eventually(tab.Heading).Should(Equal("You were not let in"))
		scene.NoOverflow(tab)
		s.Outside(tab)

		By("a second thought counts for nothing")
		Expect(p.Answer(ctx, ring.TxID, shown)).To(MatchError(ContainSubstring("404")))
		s.Outside(tab)
		Expect(sends(p)).To(HaveLen(1))
	})

	It("wrong number: nobody is let in, and a new try works", SpecTimeout(specLimit), func(ctx SpecContext) {
		p := newPhone("Pixel")
		s := newScene(ctx, server, p)
		tab := s.Tab(chromium.Desktop)
		s.LogIn(tab)
		ring, shown := answerable(ctx, tab, p)
		wrong := ring.Items[slices.IndexFunc(ring.Items, func(item string) bool { return item != shown })]
		Expect(p.Answer(ctx, ring.TxID, wrong)).To(Succeed())
		Eventually(tab.Heading).Should(Equal("That was the wrong number"))
		s.Outside(tab)

		By("the right one afterwards counts for nothing")
		Expect(p.Answer(ctx, ring.TxID, shown)).To(MatchError(ContainSubstring("404")))
		s.Outside(tab)

		By("the phone is asked again only when the person wants it")
		Expect(sends(p)).To(HaveLen(1))
		Expect(tab.Click("Try again")).To(Succeed())
		again, shown := answerable(ctx, tab, p)
		Expect(again.TxID).NotTo(Equal(ring.TxID))
		Expect(p.Answer(ctx, again.TxID, shown)).To(Succeed())
		s.Inside(tab)
	})

	Context("with a short answer window", Ordered, func() {
		var short *testbed.Server

		BeforeAll(func(ctx SpecContext) {
			var err error
			short, err = bed.Serve(ctx, "COUNTERSIGN_MOBILE_ANSWER_WINDOW=2s")
			Expect(err).NotTo(HaveOccurred())
			DeferCleanup(func() error { return short.Stop() })
		}, NodeTimeout(2*time.Minute))

		It("expiry: the page says so, and a late answer counts for nothing", SpecTimeout(specLimit), func(ctx SpecContext) {
			p := newPhone("Pixel")
			s := newScene(ctx, short, p)
			tab := s.Tab(chromium.Phone)
			s.LogIn(tab)
			ring, shown := answerable(ctx, tab, p)
			Eventually(tab.Heading).Should(Equal("No answer came"))
			scene.NoOverflow(tab)
			Expect(p.Answer(ctx, ring.TxID, shown)).To(MatchError(ContainSubstring("404")))
			s.Outside(tab)
			Eventually(func() phone.State {
				r, _ := p.Ring(ring.TxID)
				return r.State
			}).Should(BeElementOf(phone.Expired, phone.Gone))

			Expect(tab.Click("Try again")).To(Succeed())
			ring, shown = answerable(ctx, tab, p)
			Expect(p.Answer(ctx, ring.TxID, shown)).To(Succeed())
			s.Inside(tab)
		})
	})
})

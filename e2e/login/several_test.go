package login

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"countersign/e2e/chromium"
	"countersign/e2e/scene"
)

var _ = Describe("There are several", Label("main-job"), func() {
	It("two phones: the person chooses, and only that one rings", SpecTimeout(specLimit), func(ctx SpecContext) {
		work, home := newPhone("Work phone"), newPhone("Home phone")
		s := newScene(ctx, server, work, home)
		tab := s.Tab(chromium.Phone)
		s.LogIn(tab)
		Eventually(tab.Heading).Should(Equal("How do you want to confirm?"))
		Expect(tab.Text()).To(And(ContainSubstring("Approve on Work phone"), ContainSubstring("Approve on Home phone")))
		scene.NoOverflow(tab)
		Expect(sends(work)).To(BeEmpty())
		Expect(sends(home)).To(BeEmpty())
		Expect(tab.Click("Approve on Home phone")).To(Succeed())
		ring, shown := answerable(ctx, tab, home)
		Expect(work.Rings()).To(BeEmpty())

		By("changing one's mind asks the other one")
		Expect(tab.Click("Use another way")).To(Succeed())
		Eventually(tab.Heading).Should(Equal("How do you want to confirm?"))
		Expect(tab.Click("Approve on Work phone")).To(Succeed())
		other, otherShown := answerable(ctx, tab, work)
		Expect(other.TxID).NotTo(Equal(ring.TxID))
		_ = shown
		Expect(work.Answer(ctx, other.TxID, otherShown)).To(Succeed())
		s.Inside(tab)
	})

	It("two tabs: one login, the phone rings once", SpecTimeout(specLimit), func(ctx SpecContext) {
		p := newPhone("Pixel")
		s := newScene(ctx, server, p)
		first := s.Tab(chromium.Desktop)
		s.LogIn(first)
		ring, shown := answerable(ctx, first, p)

		second := s.Another(first)
		Expect(second.Open(scene.LoginPath)).To(Succeed())
		Expect(number(second)).To(Equal(shown), "both tabs show the same number")
		Expect(sends(p)).To(HaveLen(1))

		Expect(p.Answer(ctx, ring.TxID, shown)).To(Succeed())
		s.Inside(first)
		s.Inside(second)
		Expect(sends(p)).To(HaveLen(1))
	})

	It("two browsers: the newer login takes the phone, the older says so", SpecTimeout(specLimit), func(ctx SpecContext) {
		p := newPhone("Pixel")
		s := newScene(ctx, server, p)
		older, newer := s.Tab(chromium.Desktop), s.Tab(chromium.Phone)
		s.LogIn(older)
		first, _ := answerable(ctx, older, p)
		s.LogIn(newer)
		Eventually(older.Heading).Should(Equal("Replaced by a newer request"))
		Eventually(func() string { return ringing(ctx, p).TxID }).ShouldNot(Equal(first.TxID))
		ring, shown := answerable(ctx, newer, p)
		Expect(p.Answer(ctx, ring.TxID, shown)).To(Succeed())
		s.Inside(newer)
		s.Outside(older)
	})

	It("a reload: the same question, the phone rings once", SpecTimeout(specLimit), func(ctx SpecContext) {
		p := newPhone("Pixel")
		s := newScene(ctx, server, p)
		tab := s.Tab(chromium.Desktop)
		s.LogIn(tab)
		ring, shown := answerable(ctx, tab, p)
		Expect(tab.Reload()).To(Succeed())
		Expect(number(tab)).To(Equal(shown))
		Expect(p.Answer(ctx, ring.TxID, shown)).To(Succeed())
		s.Inside(tab)
		Expect(sends(p)).To(HaveLen(1))
	})
})

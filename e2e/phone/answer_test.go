package phone

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("The phone answers", Label("phone"), func() {
	It("approves by the number that the page shows, without any push service", SpecTimeout(specLimit), func(ctx SpecContext) {
		a := enrolled(ctx)
		tab := a.asks()
		Expect(a.phone.Text()).To(And(ContainSubstring("127.0.0.1"), ContainSubstring("Chrom"), ContainSubstring("left")))
		Expect(count(a.phone, ".button.number")()).To(Equal(3))
		a.Outside(tab)
		a.answer(number(tab))
		Eventually(a.phone.Heading).Should(Equal("Sent"))
		a.Inside(tab)

		By("the list on the phone says so")
		click(a.phone, "Done")
		click(a.phone, "What was asked")
		Eventually(a.phone.Text).Should(ContainSubstring("You answered"))
	})

	It("denies: nobody is let in", SpecTimeout(specLimit), func(ctx SpecContext) {
		a := enrolled(ctx)
		tab := a.asks()
		a.answer("Deny")
		Eventually(a.phone.Heading).Should(Equal("Denied"))
		Eventually(tab.Heading).Should(Equal("You were not let in"))
		a.Outside(tab)
	})

	It("reports: asked once more, then told to the server", SpecTimeout(specLimit), func(ctx SpecContext) {
		a := enrolled(ctx)
		tab := a.asks()
		a.answer("It was not me")
		Eventually(count(a.phone, "dialog[open]")).Should(Equal(1))
		a.Outside(tab)
		click(a.phone, "Report it")
		Eventually(a.phone.Heading).Should(Equal("Reported"))
		Eventually(tab.Heading).Should(Equal("You were not let in"))
		a.Outside(tab)
	})
})

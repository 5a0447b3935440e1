package phone

import (
	"github.com/chromedp/chromedp/kb"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"countersign/e2e/chromium"
	"countersign/e2e/scene"
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

	It("approves by a number that is typed, after a wrong one", SpecTimeout(specLimit), func(ctx SpecContext) {
		ask(ctx, "number_typed_6")
		a := enrolled(ctx)
		tab := a.asks()
		right := number(tab)
		Expect(right).To(HaveLen(6))
		wrong := "000000"
		if right == wrong {
			wrong = "111111"
		}
		Eventually(count(a.phone, ".key-button")).ShouldNot(BeZero())
		Expect(a.phone.Keys(wrong[1:])).To(Succeed())
		Consistently(func() (string, error) {
			return chromium.Value[string](a.phone, "getComputedStyle(document.querySelector('.answer .button.primary')).visibility")
		}, "800ms").Should(Equal("hidden"), "what is not whole is not approved, after the first moment either")
		Expect(chromium.Value[float64](a.phone, "document.querySelector('.no').getBoundingClientRect().bottom")).To(BeNumerically("<=", chromium.Phone.Height), "Deny is on the screen")
		Expect(a.phone.Keys(wrong[:1])).To(Succeed())
		a.answer("Approve")
		Eventually(a.phone.Text).Should(ContainSubstring("2 tries are left"))
		scene.NoOverflow(a.phone)
		a.Outside(tab)

		By("Enter alone approves nothing")
		Expect(a.phone.Keys(right + kb.Enter)).To(Succeed())
		Consistently(a.phone.Heading, "300ms").Should(Equal("Is this you?"))
		a.answer("Approve")
		Eventually(a.phone.Heading).Should(Equal("Sent"))
		a.Inside(tab)
	})

	It("denies a code that it has shown already", SpecTimeout(specLimit), func(ctx SpecContext) {
		ask(ctx, "code_shown_6")
		a := enrolled(ctx)
		tab := a.asks()
		a.answer("Approve and show the code")
		Eventually(a.phone.Heading).Should(Equal("Type this code at the page"))
		click(a.phone, "Deny after all")
		Eventually(a.phone.Heading).Should(Equal("Denied"))
		Eventually(tab.Heading).Should(Equal("You were not let in"))
		a.Outside(tab)
	})

	It("shows a code that is typed at the page, once its owner approved", SpecTimeout(specLimit), func(ctx SpecContext) {
		ask(ctx, "code_shown_6")
		a := enrolled(ctx)
		tab := a.asks()
		Expect(count(a.phone, ".shown")()).To(BeZero(), "no code before the approval")
		a.answer("Approve and show the code")
		Eventually(a.phone.Heading).Should(Equal("Type this code at the page"))
		scene.NoOverflow(a.phone)
		a.Outside(tab)
		code, err := chromium.Value[string](a.phone, "document.querySelector('.shown').textContent.replace(/\\D/g, '')")
		Expect(err).NotTo(HaveOccurred())

		By("opened anew, it shows the code and does not ask again")
		Expect(a.phone.Reload()).To(Succeed())
		Eventually(a.phone.Heading).Should(Equal("Type this code at the page"))
		Eventually(func() (bool, error) {
			return chromium.Value[bool](tab, "(document.querySelector('#stage input')?.focus(), document.activeElement?.tagName === 'INPUT')")
		}).Should(BeTrue())
		Expect(tab.Enter(code)).To(Succeed())
		a.Inside(tab)
		Eventually(a.phone.Heading).Should(Equal("Done"))
	})
})

package phone

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"countersign/e2e/scene"
)

// One after the other: they change what the server accepts.
var _ = Describe("The phone is added", Label("phone"), Serial, func() {
	It("only when its owner confirms it, where the server demands that", SpecTimeout(specLimit), func(ctx SpecContext) {
		a := newActor(ctx)
		code := a.code()

		By("a phone that cannot check is refused, and told why")
		a.openCode(code)
		Eventually(a.phone.Heading).Should(Equal("Add this account?"))
		click(a.phone, "Add this account")
		Eventually(a.phone.Text).Should(ContainSubstring("Only phones that check their owner"))
		scene.NoOverflow(a.phone)

		By("an owner who is not recognised adds nothing")
		a.plug()
		Expect(a.finger.Verifies(false)).To(Succeed())
		a.openCode(code)
		Eventually(a.phone.Text).Should(ContainSubstring("call that a passkey"))
		click(a.phone, "Add this account")
		Eventually(a.phone.Text).Should(ContainSubstring("Nothing was confirmed"))

		By("the same code still works")
		Expect(a.finger.Verifies(true)).To(Succeed())
		a.add()
		passkeys, err := a.finger.Passkeys()
		Expect(err).NotTo(HaveOccurred())
		Expect(passkeys).To(HaveLen(1))

		By("nothing is approved while it is not the owner")
		Expect(a.finger.Verifies(false)).To(Succeed())
		tab := a.asks()
		a.answer(number(tab))
		Eventually(a.phone.Text).Should(ContainSubstring("Nothing was sent"))
		a.Outside(tab)
		Expect(a.finger.Verifies(true)).To(Succeed())
		a.answer(number(tab))
		a.Inside(tab)
	})

	It("without a check of its owner where the server allows it", SpecTimeout(specLimit), func(ctx SpecContext) {
		accept(ctx, "signed")
		DeferCleanup(func(ctx SpecContext) { accept(ctx, "signed_user_verified") })
		a := newActor(ctx)
		a.openCode(a.code())
		a.add()
		tab := a.asks()
		a.answer(number(tab))
		a.Inside(tab)
	})

	It("what is no code is said to be none", SpecTimeout(specLimit), func(ctx SpecContext) {
		a := newActor(ctx)
		a.openCode("nonsense")
		Eventually(a.phone.Heading).Should(Equal("Add an account"))
		scene.NoOverflow(a.phone)
		click(a.phone, "Back")
		Eventually(a.phone.Heading).Should(Equal("Approve sign-ins with this phone"))
		scene.NoOverflow(a.phone)
	})
})

package phone

import (
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"countersign/e2e/chromium"
	"countersign/e2e/scene"
)

// stored evaluates an expression over the account that the phone keeps.
func stored(tab *chromium.Tab, expression string) func() (string, error) {
	return func() (string, error) {
		return chromium.Value[string](tab, fmt.Sprintf(`import("/static/phone/store.js").then(async (store) => {
			const [account] = await store.accounts();
			return account ? String(%s) : "none";
		})`, expression))
	}
}

var _ = Describe("The phone's accounts", Label("phone"), func() {
	It("a new key takes the place of the old one, and answers", SpecTimeout(specLimit), func(ctx SpecContext) {
		a := enrolled(ctx)
		old, err := stored(a.phone, "account.key.thumbprint")()
		Expect(err).NotTo(HaveOccurred())
		Expect(stored(a.phone, "account.key.privateKey.extractable")()).To(Equal("false"))
		click(a.phone, "Countersign")
		click(a.phone, "Make a new key")
		Eventually(stored(a.phone, "account.renewed > 0")).Should(Equal("true"))
		Expect(stored(a.phone, "account.key.thumbprint")()).NotTo(Equal(old))
		scene.NoOverflow(a.phone)
		tab := a.asks()
		a.answer(number(tab))
		a.Inside(tab)
	})

	It("is renamed and removed on the phone; removed on the server, the phone says so", SpecTimeout(specLimit), func(ctx SpecContext) {
		a := enrolled(ctx)
		click(a.phone, "Countersign")
		click(a.phone, "Rename")
		Eventually(count(a.phone, "dialog[open]")).Should(Equal(1))
		Expect(a.phone.Enter("Work")).To(Succeed())
		Eventually(a.phone.Heading).Should(Equal("Work"))
		click(a.phone, "Back")
		Eventually(a.phone.Heading).Should(Equal("Your authenticator"))

		By("removed in the account")
		Expect(a.computer.Open("/if/user/")).To(Succeed())
		click(a.computer, "Remove")
		Eventually(count(a.computer, "dialog[open]")).Should(Equal(1))
		Expect(chromium.Value[bool](a.computer, "document.querySelector('dialog[open] button[type=submit]').click() ?? true")).To(BeTrue())
		Eventually(a.phone.Text).Should(ContainSubstring("Removed on the server"))

		By("removed on the phone")
		click(a.phone, "Work")
		click(a.phone, "Remove from this phone")
		Eventually(count(a.phone, "dialog[open]")).Should(Equal(1))
		Expect(chromium.Value[bool](a.phone, "document.querySelector('dialog[open] button[type=submit]').click() ?? true")).To(BeTrue())
		Eventually(a.phone.Heading).Should(Equal("Approve sign-ins with this phone"))
		Expect(stored(a.phone, "account.name")()).To(Equal("none"))
	})
})

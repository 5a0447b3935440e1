package phone

import (
	"fmt"
	"time"

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

	It("moves to a new phone, which the old one approves", SpecTimeout(2*specLimit), func(ctx SpecContext) {
		a := enrolled(ctx)
		old := a.phone
		click(old, "Countersign")
		click(old, "Move to a new phone")
		click(old, "Begin")
		Eventually(old.Heading).Should(Equal("Scan this with the new phone"))
		scene.NoOverflow(old)
		Expect(count(old, "img.code-picture")()).To(Equal(1))
		code, err := chromium.Value[string](old, "document.querySelector('.key.mono').textContent")
		Expect(err).NotTo(HaveOccurred())

		By("the new phone takes it, by the code")
		a.phone = a.Tab(chromium.Phone)
		a.plug()
		Expect(a.phone.Open(phonePath)).To(Succeed())
		click(a.phone, "Add your account")
		Eventually(a.phone.Heading).Should(Equal("Add an account"))
		Expect(chromium.Value[bool](a.phone, "document.querySelector('input.code').focus() ?? true")).To(BeTrue())
		Expect(a.phone.Enter(code)).To(Succeed())
		Eventually(a.phone.Heading).Should(Equal("Add this account?"))
		Expect(chromium.Value[string](a.phone, "document.querySelector('input[name=phone]').value = 'New phone'")).To(Equal("New phone"))
		click(a.phone, "Add this account")
		Eventually(a.phone.Heading).Should(HavePrefix("Compare"))

		By("both show the same number, and the old one approves with its owner's finger")
		Eventually(old.Heading).Should(Equal("Is this your new phone?"))
		Expect(digits(old)).To(Equal(digits(a.phone)))
		scene.NoOverflow(old)
		scene.NoOverflow(a.phone)
		click(old, "Yes, it shows the same")
		Eventually(old.Heading).Should(Equal("Your new phone is ready"))
		Eventually(a.phone.Heading).Should(Equal("Your phone is ready"))

		By("the new phone answers, and the old one is taken off")
		click(a.phone, "Done")
		click(old, "Done")
		tab := a.Tab(chromium.Desktop)
		a.LogIn(tab)
		Eventually(tab.Heading).Should(Equal("How do you want to confirm?"))
		click(tab, "Approve on New phone")
		Eventually(a.phone.Heading).Should(Equal("Is this you?"))
		a.answer(number(tab))
		a.Inside(tab)
		Eventually(old.Text).WithTimeout(20 * time.Second).Should(ContainSubstring("Removed on the server"))
	})
})

// digits are those that a phone's screen has the person compare.
func digits(tab *chromium.Tab) string {
	GinkgoHelper()
	var shown string
	Eventually(func() (string, error) {
		var err error
		shown, err = chromium.Value[string](tab, "[...document.querySelectorAll('.digits')].map((e) => e.textContent).join()")
		return shown, err
	}).Should(MatchRegexp(`^[0-9 ]+$`))
	return shown
}

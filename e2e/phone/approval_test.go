package phone

import (
	"context"
	"net/http"
	"net/http/httptest"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"countersign/e2e/chromium"
	"countersign/e2e/scene"
	"countersign/mobile/wire"
	"countersign/simulator/page"
	simulated "countersign/simulator/phone"
	"countersign/simulator/standin"
)

// payment is something to approve that is no login.
func payment() wire.Transaction {
	return wire.Transaction{
		Title: "Pay an invoice", Amount: &wire.Amount{Value: "1234.50", Currency: "EUR"}, Payee: "Müller & Söhne",
		Fields: []wire.TransactionField{{Label: "IBAN", Value: "DE02 1203 0000 0000 2020 51"}}, Text: "Invoice 2026-117",
	}
}

// lines are what a page shows of a request, as label and value.
func lines(tab *chromium.Tab) ([]wire.Line, error) {
	return chromium.Value[[]wire.Line](tab, `[...document.querySelectorAll(".title, .facts.whole > div")].map((e) => e.matches(".title")
		? { label: "", value: e.textContent } : { label: e.querySelector("dt").textContent, value: e.querySelector("dd").textContent })`)
}

var _ = Describe("The phone approves what is no login", Label("phone"), func() {
	// demand has an application ask the person, and gives the approval's path.
	demand := func(ctx context.Context, a *actor, what wire.Transaction) string {
		GinkgoHelper()
		var made struct{ ID string }
		Expect(server.Call(ctx, http.MethodPost, "/authenticators/mobile/approvals/", map[string]any{"username": a.Person.Username, "fields": what}, &made)).To(Succeed())
		Eventually(a.phone.Heading).Should(Equal("Do you approve this?"))
		scene.NoOverflow(a.phone)
		return "/authenticators/mobile/approvals/" + made.ID + "/"
	}
	status := func(ctx context.Context, path string) func() (string, error) {
		return func() (string, error) {
			var found struct {
				Status string
				By     string `json:"signed_by"`
			}
			err := server.Call(ctx, http.MethodGet, path, nil, &found)
			return found.Status + " " + found.By, err
		}
	}

	// T16: what is shown is what is signed, on a real phone's page.
	It("shows all that is signed, and signs that", SpecTimeout(specLimit), func(ctx SpecContext) {
		a := enrolled(ctx)
		path := demand(ctx, a, payment())
		Expect(lines(a.phone)).To(Equal(payment().Lines()))
		a.answer("Approve")
		Eventually(a.phone.Heading).Should(Equal("Sent"))
		Eventually(status(ctx, path)).Should(Equal("approved user_verification"))

		By("the list on the phone says what it was")
		click(a.phone, "Done")
		click(a.phone, "What was asked")
		Eventually(a.phone.Text).Should(And(ContainSubstring("Pay an invoice"), ContainSubstring("50 EUR")))
	})

	It("denies", SpecTimeout(specLimit), func(ctx SpecContext) {
		a := enrolled(ctx)
		path := demand(ctx, a, wire.Transaction{Title: "Delete the archive"})
		a.answer("Deny")
		Eventually(a.phone.Text).Should(ContainSubstring("Nothing was approved"))
		Eventually(status(ctx, path)).Should(HavePrefix("denied"))
	})

	It("reports what is not its owner's", SpecTimeout(specLimit), func(ctx SpecContext) {
		a := enrolled(ctx)
		path := demand(ctx, a, payment())
		a.answer("It is not mine")
		Eventually(count(a.phone, "dialog[open]")).Should(Equal(1))
		click(a.phone, "Report it")
		Eventually(a.phone.Heading).Should(Equal("Reported"))
		Eventually(status(ctx, path)).Should(HavePrefix("reported"))
	})

	It("says so when the application withdraws it", SpecTimeout(specLimit), func(ctx SpecContext) {
		a := enrolled(ctx)
		path := demand(ctx, a, payment())
		Expect(server.Call(ctx, http.MethodDelete, path, nil, nil)).To(Succeed())
		Eventually(a.phone.Heading).Should(Equal("No longer asked"))
		Eventually(a.phone.Text).Should(ContainSubstring("It was withdrawn"))
	})
})

var _ = Describe("The phone's page, grown since the account was added", Label("phone"), func() {
	It("tells the server what it can do, at the next visit", SpecTimeout(specLimit), func(ctx SpecContext) {
		a := enrolled(ctx)
		now, err := stored(a.phone, "account.version")()
		Expect(err).NotTo(HaveOccurred())
		Expect(now).NotTo(Equal("undefined"))
		Expect(stored(a.phone, "(await store.change(account.device, { version: undefined })).version")()).To(Equal("undefined"))
		Expect(a.phone.Reload()).To(Succeed())
		Eventually(stored(a.phone, "account.version")).Should(Equal(now))
	})
})

var _ = Describe("The simulated phone's page", Label("phone"), func() {
	// T16: what is shown is what is signed, on the simulated phone's page.
	It("compares, shows all that is signed, and answers", SpecTimeout(specLimit), func(ctx SpecContext) {
		stand := standin.Start(standin.Options{Guarded: true})
		DeferCleanup(stand.Close)
		stand.AddUser("ada", "secret")
		p := simulated.New(simulated.Options{Push: stand, Signs: true})
		DeferCleanup(p.Close)
		served := httptest.NewServer(page.New(p, page.Options{}))
		DeferCleanup(served.Close)
		tab, err := chrome.NewTab(served.URL, chromium.Phone)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(tab.Close)
		Expect(tab.Open("/")).To(Succeed())
		Eventually(tab.Text).Should(ContainSubstring("No account yet"))

		account, err := p.EnrolFromQR(ctx, stand.Enrolment("ada"))
		Expect(err).NotTo(HaveOccurred())
		p.SettleLater(account.Device)
		Eventually(tab.Text).Should(And(ContainSubstring("Compare this number"), ContainSubstring(account.Fingerprint)))
		scene.NoOverflow(tab)
		stand.Confirm(account.Device)
		Eventually(tab.Text).Should(ContainSubstring("Nothing to approve"))

		tx := stand.AskFor("ada", payment())
		Expect(p.Refresh(ctx)).To(Succeed()) // its address may not be known yet
		Eventually(tab.Text).Should(ContainSubstring("Pay an invoice"))
		for _, l := range payment().Lines() {
			Expect(tab.Text()).To(And(ContainSubstring(l.Label), ContainSubstring(l.Value)))
		}
		scene.NoOverflow(tab)
		click(tab, "Approve")
		Eventually(tab.Text).Should(ContainSubstring("You approved it"))
		Expect(stand.AnswerTo(tx)).To(Equal(wire.ItemAccept))
		for _, c := range tab.Complaints() {
			Expect(c).To(ContainSubstring("navigator.vibrate"), "that nobody has touched the page is all that the browser may say")
		}
	})
})

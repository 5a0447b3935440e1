package login

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"countersign/e2e/chromium"
)

var _ = Describe("A phone is added", Label("main-job"), func() {
	DescribeTable("enrol: by the QR page, and the next login asks the phone", func(ctx SpecContext, size chromium.Size) {
		p := newPhone("Ada's Pixel")
		s := newScene(ctx, server)
		tab := s.tab(size)
		s.logIn(tab)
		s.inside(tab)
		Eventually(tab.Text).Should(ContainSubstring("No phone yet."))
		Expect(tab.Click("Add a phone")).To(Succeed())
		Eventually(tab.Heading).Should(Equal("Add your phone"))
		Eventually(func() (int, error) {
			return chromium.Value[int](tab, "document.querySelector('.qr img')?.naturalWidth ?? 0")
		}).Should(BeNumerically(">", 0), "the QR code is drawn")
		noOverflow(tab)

		payload, err := chromium.Value[string](tab, "document.querySelector('textarea').value")
		Expect(err).NotTo(HaveOccurred())
		account, err := p.EnrolFromQR(ctx, []byte(payload))
		Expect(err).NotTo(HaveOccurred())
		Expect(account.Server).To(Equal(s.server.URL + "/"))
		Eventually(tab.Heading).Should(Equal("Your phone is ready"))
		s.inside(tab)
		Eventually(tab.Text).Should(ContainSubstring("Ada's Pixel"))

		By("the code is used up")
		_, err = newPhone("Thief").EnrolFromQR(ctx, []byte(payload))
		Expect(err).To(MatchError(ContainSubstring("403")))

		By("another browser has to ask the phone")
		other := s.tab(size)
		s.logIn(other)
		ring, shown := answerable(ctx, other, p)
		Expect(p.Answer(ctx, ring.TxID, shown)).To(Succeed())
		s.inside(other)
	},
		Entry("on a desktop", SpecTimeout(specLimit), chromium.Desktop),
		Entry("on a phone's browser", SpecTimeout(specLimit), chromium.Phone),
	)
})

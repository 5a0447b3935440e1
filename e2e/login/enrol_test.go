package login

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"countersign/e2e/chromium"
	"countersign/e2e/scene"
)

var _ = Describe("A phone is added", Label("main-job"), func() {
	DescribeTable("enrol: by the QR page, and the next login asks the phone", func(ctx SpecContext, size chromium.Size) {
		p := newPhone("Ada's Pixel")
		s := newScene(ctx, server)
		tab := s.Tab(size)
		s.LogIn(tab)
		s.Inside(tab)
		Eventually(tab.Text).Should(ContainSubstring("You have no second step yet"))
		Expect(tab.Click("Phone app")).To(Succeed())
		Eventually(tab.Heading).Should(Equal("Add your phone"))
		Eventually(func() (int, error) {
			return chromium.Value[int](tab, "document.querySelector('.qr img')?.naturalWidth ?? 0")
		}).Should(BeNumerically(">", 0), "the QR code is drawn")
		scene.NoOverflow(tab)

		payload, err := chromium.Value[string](tab, "document.querySelector('textarea').value")
		Expect(err).NotTo(HaveOccurred())
		account, err := p.EnrolFromQR(ctx, []byte(payload))
		Expect(err).NotTo(HaveOccurred())
		Expect(account.Server).To(Equal(s.Server.URL + "/"))
		Eventually(tab.Heading).Should(Equal("Your phone is ready"))
		s.Inside(tab)
		Eventually(tab.Text).Should(ContainSubstring("Ada's Pixel"))

		By("the code is used up")
		_, err = newPhone("Thief").EnrolFromQR(ctx, []byte(payload))
		Expect(err).To(MatchError(ContainSubstring("403")))

		By("another browser has to ask the phone")
		other := s.Tab(size)
		s.LogIn(other)
		ring, shown := answerable(ctx, other, p)
		Expect(p.Answer(ctx, ring.TxID, shown)).To(Succeed())
		s.Inside(other)
	},
		Entry("on a desktop", SpecTimeout(specLimit), chromium.Desktop),
		Entry("on a phone's browser", SpecTimeout(specLimit), chromium.Phone),
	)
})

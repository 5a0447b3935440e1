package authenticators

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"countersign/e2e/chromium"
	"countersign/e2e/scene"
	"countersign/simulator/phone"
)

const choice = "How do you want to confirm?"

var _ = Describe("Several kinds", Label("authenticators"), func() {
	It("are offered side by side, and each lets in", SpecTimeout(specLimit), func(ctx SpecContext) {
		s := newScene(ctx)
		p := bed.NewPhone("Pixel", phone.Options{})
		DeferCleanup(p.Close)
		Expect(s.Person.Enrol(ctx, p)).To(Succeed())
		approve := func(tab *chromium.Tab) {
			r, err := p.AwaitRing(ctx, func(r phone.Ring) bool { return r.State == phone.Ringing })
			Expect(err).NotTo(HaveOccurred())
			Expect(p.Answer(ctx, r.TxID, shown(tab, ".number")[0])).To(Succeed())
			s.Inside(tab)
		}
		tab := s.Tab(chromium.Desktop)
		s.LogIn(tab)
		Eventually(tab.Heading).Should(Equal("Tap this number on your phone"))
		approve(tab)
		a := enrolApp(s, tab)
		codes := enrolCodes(s, tab)
		passkey := enrolPasskey(s, tab)

		first, _ := holder(s, chromium.Phone, passkey)
		s.LogIn(first)
		Eventually(first.Heading).Should(Equal(choice))
		Expect(shown(first, ".choices strong")).To(ConsistOf("Approve on Pixel", "Authenticator app", "Recovery code", "Passkey"))
		scene.NoOverflow(first)
		click(first, "Passkey")
		s.Inside(first)

		By("one mind is changed for another")
		second := s.Tab(chromium.Desktop)
		s.LogIn(second)
		click(second, "Recovery code")
		Eventually(second.Heading).Should(Equal("Enter a recovery code"))
		click(second, "Use another way")
		Eventually(second.Heading).Should(Equal(choice))
		click(second, "Authenticator app")
		typeCode(second, a.code(1))
		s.Inside(second)

		third := s.Tab(chromium.Desktop)
		s.LogIn(third)
		click(third, "Approve on Pixel")
		Eventually(third.Heading).Should(Equal("Tap this number on your phone"))
		click(third, "Use another way")
		click(third, "Recovery code")
		typeCode(third, codes[0])
		s.Inside(third)
	})

	It("a message was asked for first: the app's code lets in all the same", SpecTimeout(specLimit), func(ctx SpecContext) {
		s, tab := insider(ctx)
		number := enrolNumber(ctx, s, tab, "generic")
		a := enrolApp(s, tab)
		other := s.Tab(chromium.Phone)
		Expect(other.Header("X-Forwarded-For", "192.0.2.8")).To(Succeed())
		s.LogIn(other)
		click(other, "Text message")
		Eventually(other.Heading).Should(Equal("Enter the code we sent"))
		received(number, 2)
		click(other, "Use another way")
		click(other, "Authenticator app")
		Eventually(other.Heading).Should(Equal("Enter your code"))
		typeCode(other, a.code(1))
		s.Inside(other)
	})

	It("two tabs, one kind: one finishes, the other ends inside as well", SpecTimeout(specLimit), func(ctx SpecContext) {
		s, tab := insider(ctx)
		a := enrolApp(s, tab)
		first := s.Tab(chromium.Desktop)
		s.LogIn(first)
		Eventually(first.Heading).Should(Equal("Enter your code"))
		second := s.Another(first)
		Expect(second.Open(scene.LoginPath)).To(Succeed())
		Eventually(second.Heading).Should(Equal("Enter your code"))
		typeCode(first, a.code(1))
		s.Inside(first)
		typeCode(second, a.code(1))
		s.Inside(second)
	})

	It("two tabs, one step behind: the password given in one is not asked in the other", SpecTimeout(specLimit), func(ctx SpecContext) {
		s, tab := insider(ctx)
		a := enrolApp(s, tab)
		first := s.Tab(chromium.Desktop)
		Expect(first.Open(scene.LoginPath)).To(Succeed())
		enter(first, "uid_field", s.Person.Username)
		Eventually(first.Heading).Should(Equal("Enter your password"))
		second := s.Another(first)
		Expect(second.Open(scene.LoginPath)).To(Succeed())
		Eventually(second.Heading).Should(Equal("Enter your password"))
		s.Password(first)
		Eventually(first.Heading).Should(Equal("Enter your code"))
		s.Password(second)
		Eventually(second.Heading).Should(Equal("Enter your code"))
		Expect(second.Text()).NotTo(ContainSubstring("Invalid"))
		typeCode(second, a.code(1))
		s.Inside(second)
	})

	It("two tabs, two kinds: what is chosen in one does not spoil the other", SpecTimeout(specLimit), func(ctx SpecContext) {
		s, tab := insider(ctx)
		number := enrolNumber(ctx, s, tab, "Twilio")
		a := enrolApp(s, tab)
		codes := enrolCodes(s, tab)
		elsewhere := func(tab *chromium.Tab) *chromium.Tab {
			GinkgoHelper()
			Expect(tab.Header("X-Forwarded-For", "192.0.2.9")).To(Succeed())
			return tab
		}
		message := elsewhere(s.Tab(chromium.Desktop))
		s.LogIn(message)
		Eventually(message.Heading).Should(Equal(choice))
		app, recovery := elsewhere(s.Another(message)), elsewhere(s.Another(message))
		for tab, way := range map[*chromium.Tab]string{app: "Authenticator app", recovery: "Recovery code"} {
			Expect(tab.Open(scene.LoginPath)).To(Succeed())
			click(tab, way)
			Eventually(tab.Focus).Should(Equal("code"))
		}
		click(message, "Text message")
		Eventually(message.Heading).Should(Equal("Enter the code we sent"))
		sent := received(number, 2)

		typeCode(recovery, other(codes[0]))
		Eventually(recovery.Text).Should(ContainSubstring("This code is not valid."))
		typeCode(message, sent.Code)
		s.Inside(message)
		Expect(bed.Outside.SMS.To(number)).To(HaveLen(2), "a code that comes along with its device asks for no other")
		typeCode(app, a.code(1))
		s.Inside(app)
	})
})

package authenticators

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"math/big"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"countersign/e2e/chromium"
	"countersign/e2e/scene"
	"countersign/e2e/testbed"
)

const (
	totpSetup   = "default-authenticator-totp-setup"
	staticSetup = "default-authenticator-static-setup"
	wrongCode   = "000000"
)

// app is an authenticator app.
type app struct{ seed []byte }

// enrolApp adds an authenticator app by the key that the page shows; the person is logged in in the tab.
func enrolApp(s *scene.Scene, tab *chromium.Tab) *app {
	GinkgoHelper()
	setUp(tab, totpSetup)
	a := typedInto(tab)
	enter(tab, "code", a.code(0))
	s.Inside(tab)
	return a
}

// typedInto is an app into which the key of the page was typed.
func typedInto(tab *chromium.Tab) *app {
	GinkgoHelper()
	Eventually(tab.Heading).Should(Equal("Add an authenticator app"))
	key := strings.Join(shown(tab, ".key span"), "")
	seed, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(key)
	Expect(err).NotTo(HaveOccurred(), key)
	return &app{seed}
}

// code is what the app shows (RFC 6238), so many steps of 30 s from now. A server takes a step once, and the next one too.
func (a *app) code(steps int) string {
	mac := hmac.New(sha1.New, a.seed)
	_ = binary.Write(mac, binary.BigEndian, time.Now().Unix()/30+int64(steps)) // a hash takes all
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 15
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[at:at+4])&(1<<31-1)%1_000_000)
}

// enrolCodes makes recovery codes; the person is logged in in the tab.
func enrolCodes(s *scene.Scene, tab *chromium.Tab) []string {
	GinkgoHelper()
	setUp(tab, staticSetup)
	Eventually(tab.Heading).Should(Equal("Save your recovery codes"))
	codes := shown(tab, ".codes li")
	click(tab, "I have saved them")
	s.Inside(tab)
	return codes
}

// newNumber is a telephone number that nobody else has.
func newNumber() string {
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	Expect(err).NotTo(HaveOccurred())
	return fmt.Sprintf("+44 7700 %06d", n)
}

var providers = map[string]map[string]any{
	"Twilio": {"provider": "twilio", "from_number": "+15005550006", "account_sid": testbed.TwilioSID, "auth": testbed.TwilioToken},
	"generic": {
		"provider": "generic", "from_number": "Countersign", "account_sid": testbed.SMSURL, "auth": testbed.SMSBearer, "auth_type": "bearer",
	},
}

// enrolNumber adds a telephone number; the person is logged in in the tab.
func enrolNumber(ctx context.Context, s *scene.Scene, tab *chromium.Tab, provider string) (number string) {
	GinkgoHelper()
	settings := map[string]any{}
	for k, v := range providers[provider] {
		settings[k] = v
	}
	slug, _ := newSetUp(ctx, "authenticator/sms", settings)
	number = newNumber()
	setUp(tab, slug)
	Eventually(tab.Heading).Should(Equal("Add your phone number"))
	enter(tab, "phone_number", number)
	Eventually(tab.Heading).Should(Equal("Enter the code we sent"))
	typeCode(tab, received(number, 1).Code)
	s.Inside(tab)
	return number
}

// received waits until so many messages came to a number, and gives the last.
func received(number string, n int) testbed.Message {
	GinkgoHelper()
	var got []testbed.Message
	Eventually(func() []testbed.Message {
		got = bed.Outside.SMS.To(number)
		return got
	}).Should(HaveLen(n))
	return got[n-1]
}

var _ = Describe("Codes", Label("authenticators"), func() {
	It("an authenticator app: set up by its key, asked at the next login; a wrong code can be tried again", SpecTimeout(specLimit), func(ctx SpecContext) {
		s, tab := insider(ctx)
		setUp(tab, totpSetup)
		a := typedInto(tab)
		scene.NoOverflow(tab)
		enter(tab, "code", wrongCode)
		Eventually(tab.Text).Should(ContainSubstring("does not match"))
		used := a.code(0)
		enter(tab, "code", used)
		s.Inside(tab)

		other := s.Tab(chromium.Phone)
		s.LogIn(other)
		Eventually(other.Heading).Should(Equal("Enter your code"))
		scene.NoOverflow(other)
		s.Outside(other)
		By("the code of the set-up is used up")
		typeCode(other, used)
		Eventually(other.Text).Should(ContainSubstring("This code was used already."))
		typeCode(other, wrongCode)
		Eventually(other.Text).Should(ContainSubstring("Invalid Token. Please ensure the time on your device is accurate and try again."))
		s.Outside(other)
		By("after the pause that a wrong code costs")
		insist(s, other, func() string { return a.code(1) })
	})

	It("too many wrong codes: the page says how long to wait", SpecTimeout(specLimit), func(ctx SpecContext) {
		s, tab := insider(ctx)
		enrolApp(s, tab)
		other := s.Tab(chromium.Desktop)
		s.LogIn(other)
		// Each wrong code doubles the pause, so that however slow the machine is, one comes within.
		Eventually(func() (string, error) {
			typeCode(other, wrongCode)
			return other.Text()
		}).Should(MatchRegexp(`Too many wrong codes\. Try again in [0-9]+ seconds?\.`))
		s.Outside(other)
	})

	It("recovery codes: shown once, each lets in once", SpecTimeout(specLimit), func(ctx SpecContext) {
		s, tab := insider(ctx)
		codes := enrolCodes(s, tab)
		Expect(codes).To(HaveLen(6))
		By("the codes are not shown again")
		setUp(tab, staticSetup)
		Eventually(tab.Heading).Should(Equal("Save your recovery codes"))
		Expect(tab.Text()).NotTo(ContainSubstring(codes[0]))

		first := s.Tab(chromium.Phone)
		s.LogIn(first)
		Eventually(first.Heading).Should(Equal("Enter a recovery code"))
		scene.NoOverflow(first)
		typeCode(first, codes[0])
		s.Inside(first)

		second := s.Tab(chromium.Desktop)
		s.LogIn(second)
		typeCode(second, codes[0])
		Eventually(second.Text).Should(ContainSubstring("This code is not valid. It may have been used already."))
		s.Outside(second)
		insist(s, second, func() string { return codes[1] })
	})

	DescribeTable("text messages: a number is set up, and gets a code at the next login", func(ctx SpecContext, provider, host string) {
		s, tab := insider(ctx)
		number := enrolNumber(ctx, s, tab, provider)
		Expect(received(number, 1).Host).To(Equal(host))

		By("at the place of the set-up the next message has to wait")
		here := s.Tab(chromium.Desktop)
		s.LogIn(here)
		Eventually(here.Heading).Should(Equal("Enter the code we sent"))
		Eventually(here.Text).Should(MatchRegexp(`You can ask for another one in [0-9]+ seconds\.`))
		Expect(bed.Outside.SMS.To(number)).To(HaveLen(1))

		By("elsewhere it comes at once")
		there := s.Tab(chromium.Phone)
		Expect(there.Header("X-Forwarded-For", "192.0.2.7")).To(Succeed())
		s.LogIn(there)
		Eventually(there.Heading).Should(Equal("Enter the code we sent"))
		Expect(there.Text()).To(ContainSubstring("ends in " + number[len(number)-2:]))
		code := received(number, 2).Code
		scene.NoOverflow(there)
		typeCode(there, other(code))
		Eventually(there.Text).Should(ContainSubstring("This code is not right. Look at the newest message."))
		s.Outside(there)
		insist(s, there, func() string { return code })
	},
		Entry("by Twilio", SpecTimeout(specLimit), "Twilio", testbed.TwilioHost),
		Entry("by a provider of no known make", SpecTimeout(specLimit), "generic", testbed.SMSHost),
	)
})

// other is a code that is not that one.
func other(code string) string { return fmt.Sprintf("%c%s", '0'+(code[0]-'0'+1)%10, code[1:]) }

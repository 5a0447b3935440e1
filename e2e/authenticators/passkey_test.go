package authenticators

import (
	"context"
	"net/http"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"countersign/e2e/chromium"
	"countersign/e2e/scene"
)

const (
	passkeySetup     = "default-authenticator-webauthn-setup"
	passwordlessFlow = "default-passwordless-flow"
	wrongMake        = "Invalid device type. Contact your Countersign administrator for help. This server does not know which make it is."
)

// plug adds an authenticator to a tab.
func plug(tab *chromium.Tab) *chromium.Authenticator {
	GinkgoHelper()
	a, err := tab.Plug()
	Expect(err).NotTo(HaveOccurred())
	return a
}

// enrolPasskey adds a passkey, and gives it; the person is logged in in the tab.
func enrolPasskey(s *scene.Scene, tab *chromium.Tab) chromium.Passkey {
	GinkgoHelper()
	a := plug(tab)
	setUp(tab, passkeySetup)
	Eventually(tab.Heading).Should(Equal("Add a passkey"))
	scene.NoOverflow(tab)
	click(tab, "Create a passkey")
	s.Inside(tab)
	passkeys, err := a.Passkeys()
	Expect(err).NotTo(HaveOccurred())
	Expect(passkeys).To(HaveLen(1))
	return passkeys[0]
}

// holder is a new browser of the person with a passkey in it.
func holder(s *scene.Scene, size chromium.Size, passkey chromium.Passkey) (*chromium.Tab, *chromium.Authenticator) {
	GinkgoHelper()
	tab := s.Tab(size)
	a := plug(tab)
	Expect(a.Hold(passkey)).To(Succeed())
	return tab, a
}

// otherMake is a make of authenticator that is not Chromium's.
func otherMake(ctx context.Context) (aaguid string) {
	GinkgoHelper()
	var found struct {
		Results []struct{ AAGUID, Description string }
	}
	Expect(server.Call(ctx, http.MethodGet, "/stages/authenticator/webauthn_device_types/?search=YubiKey&page_size=1", nil, &found)).To(Succeed())
	Expect(found.Results).To(HaveLen(1))
	Expect(found.Results[0].AAGUID).NotTo(Equal(chromium.Make))
	return found.Results[0].AAGUID
}

// newPasskeyLogin makes a login whose first page links to another flow, for those with a passkey.
func newPasskeyLogin(ctx context.Context, passwordless string) (slug string) {
	GinkgoHelper()
	var flow named
	Expect(server.Call(ctx, http.MethodGet, "/flows/instances/"+passwordless+"/", nil, &flow)).To(Succeed())
	return newFlow(ctx, "authentication", "none",
		newStage(ctx, "identification", map[string]any{"user_fields": []string{"username"}, "passwordless_flow": flow.PK}),
		stage(ctx, "default-authentication-password"), stage(ctx, "default-authentication-login"))
}

var _ = Describe("Passkeys", Label("authenticators"), func() {
	It("a passkey is set up, and used after the password", SpecTimeout(specLimit), func(ctx SpecContext) {
		s, tab := insider(ctx)
		passkey := enrolPasskey(s, tab)

		stranger := s.Tab(chromium.Phone)
		plug(stranger)
		s.LogIn(stranger)
		Eventually(stranger.Text).Should(ContainSubstring("there is no passkey here that fits"))
		scene.NoOverflow(stranger)
		s.Outside(stranger)

		owner, a := holder(s, chromium.Desktop, passkey)
		Expect(a.Forges(true)).To(Succeed())
		s.LogIn(owner)
		Eventually(owner.Text).Should(ContainSubstring("The signature is wrong."))
		s.Outside(owner)
		Expect(a.Forges(false)).To(Succeed())
		click(owner, "Try again")
		s.Inside(owner)
	})

	It("without a user name, by the link on the login page", SpecTimeout(specLimit), func(ctx SpecContext) {
		s, tab := insider(ctx)
		passkey := enrolPasskey(s, tab)
		login := newPasskeyLogin(ctx, passwordlessFlow)

		other, a := holder(s, chromium.Phone, passkey)
		Expect(a.Agrees(false)).To(Succeed())
		Expect(other.Open(scene.FlowPath(login))).To(Succeed())
		Eventually(other.Focus).Should(Equal("uid_field"))
		click(other, "Sign in with a passkey")
		Eventually(other.Path).Should(Equal("/if/flow/" + passwordlessFlow + "/"))
		Eventually(other.Heading).Should(Equal("Sign in with a passkey"))
		scene.NoOverflow(other)
		s.Outside(other)

		By("one that does not know its owner is not enough")
		Expect(a.Agrees(true)).To(Succeed())
		Expect(a.Verifies(false)).To(Succeed())
		click(other, "Use a passkey")
		Eventually(other.Text).Should(ContainSubstring("Nothing was confirmed"))
		s.Outside(other)
		Expect(a.Verifies(true)).To(Succeed())
		click(other, "Try again")
		s.Inside(other)
	})

	It("without a user name, by the suggestions of the name field", SpecTimeout(specLimit), func(ctx SpecContext) {
		s, tab := insider(ctx)
		passkey := enrolPasskey(s, tab)
		login := newPasskeyLogin(ctx, passwordlessFlow)
		other, _ := holder(s, chromium.Desktop, passkey)
		// The virtual authenticator picks its suggestion at once.
		Expect(other.Open(scene.FlowPath(login))).To(Succeed())
		s.Inside(other)

		By("who has none types the name as ever")
		stranger := s.Tab(chromium.Desktop)
		plug(stranger)
		Expect(stranger.Open(scene.FlowPath(login))).To(Succeed())
		Eventually(func() (string, error) {
			return chromium.Value[string](stranger, "document.querySelector('input[name=uid_field]')?.autocomplete ?? ''")
		}).Should(Equal("username webauthn"))
		enter(stranger, "uid_field", s.Person.Username)
		s.Password(stranger)
		s.Inside(stranger)
	})

	It("a make that is not allowed is refused at the set-up, with the reason", SpecTimeout(specLimit), func(ctx SpecContext) {
		s, tab := insider(ctx)
		plug(tab)
		slug, _ := newSetUp(ctx, "authenticator/webauthn", map[string]any{"device_type_restrictions": []string{otherMake(ctx)}})
		setUp(tab, slug)
		click(tab, "Create a passkey")
		Eventually(tab.Text).Should(ContainSubstring(wrongMake))
		scene.NoOverflow(tab)
		By("a new try is judged anew")
		click(tab, "Try again")
		Eventually(tab.Text).Should(ContainSubstring(wrongMake))

		By("nothing was stored: the next login asks for nothing more")
		other := s.Tab(chromium.Desktop)
		s.LogIn(other)
		s.Inside(other)
	})

	It("a make that is not allowed is refused at the login, with the reason", SpecTimeout(specLimit), func(ctx SpecContext) {
		s, tab := insider(ctx)
		passkey := enrolPasskey(s, tab)
		rules := map[string]any{
			"device_classes": []string{"webauthn"}, "not_configured_action": "deny", "webauthn_allowed_device_types": []string{otherMake(ctx)},
		}
		named := newLogin(ctx, rules)
		nameless := newFlow(ctx, "authentication", "none", newStage(ctx, "authenticator/validate", rules), stage(ctx, "default-authentication-login"))
		suggesting := newPasskeyLogin(ctx, nameless)

		other, a := holder(s, chromium.Desktop, passkey)
		s.LogInBy(other, named)
		Eventually(other.Heading).Should(Equal("You were not let in"))
		Expect(other.Text()).To(ContainSubstring("No (allowed) MFA authenticator configured."))
		s.Outside(other)

		Expect(other.Open(scene.FlowPath(nameless))).To(Succeed())
		click(other, "Use a passkey")
		Eventually(other.Text).Should(ContainSubstring(wrongMake))
		scene.NoOverflow(other)
		s.Outside(other)

		By("picked among the suggestions it is refused at the name field")
		Expect(other.Open(scene.FlowPath(suggesting))).To(Succeed())
		Eventually(other.Text).Should(ContainSubstring(wrongMake))
		Expect(a.Agrees(false)).To(Succeed())
		s.Outside(other)
	})
})

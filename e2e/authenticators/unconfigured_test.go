package authenticators

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"countersign/e2e/chromium"
	"countersign/e2e/scene"
)

var _ = Describe("Who has no second factor", Label("authenticators"), func() {
	It("skip: is let in", SpecTimeout(specLimit), func(ctx SpecContext) {
		s := newScene(ctx)
		tab := s.Tab(chromium.Desktop)
		s.LogInBy(tab, newLogin(ctx, map[string]any{"not_configured_action": "skip"}))
		s.Inside(tab)
	})

	It("deny: is not let in, and told why", SpecTimeout(specLimit), func(ctx SpecContext) {
		s := newScene(ctx)
		tab := s.Tab(chromium.Phone)
		s.LogInBy(tab, newLogin(ctx, map[string]any{"not_configured_action": "deny"}))
		Eventually(tab.Heading).Should(Equal("You were not let in"))
		Expect(tab.Text()).To(ContainSubstring("No (allowed) MFA authenticator configured."))
		scene.NoOverflow(tab)
		s.Outside(tab)
	})

	It("configure with one stage: sets it up at once, is let in, and is asked the next time", SpecTimeout(specLimit), func(ctx SpecContext) {
		s := newScene(ctx)
		login := newLogin(ctx, map[string]any{
			"not_configured_action": "configure", "configuration_stages": []string{stage(ctx, totpSetup)},
		})
		tab := s.Tab(chromium.Phone)
		s.LogInBy(tab, login)
		a := typedInto(tab)
		s.Outside(tab)
		enter(tab, "code", a.code(0))
		s.Inside(tab)

		next := s.Tab(chromium.Desktop)
		s.LogInBy(next, login)
		Eventually(next.Heading).Should(Equal("Enter your code"))
		typeCode(next, a.code(1))
		s.Inside(next)
	})

	It("configure with several stages: chooses one, sets it up, and is let in", SpecTimeout(specLimit), func(ctx SpecContext) {
		s := newScene(ctx)
		login := newLogin(ctx, map[string]any{
			"not_configured_action": "configure",
			"configuration_stages":  []string{stage(ctx, totpSetup), stage(ctx, passkeySetup), stage(ctx, staticSetup)},
		})
		tab := s.Tab(chromium.Phone)
		s.LogInBy(tab, login)
		Eventually(tab.Heading).Should(Equal("Protect your account"))
		Expect(shown(tab, ".choices strong")).To(HaveLen(3))
		scene.NoOverflow(tab)
		s.Outside(tab)
		click(tab, "Recovery codes")
		Eventually(tab.Heading).Should(Equal("Save your recovery codes"))
		codes := shown(tab, ".codes li")
		s.Outside(tab)
		click(tab, "I have saved them")
		s.Inside(tab)

		next := s.Tab(chromium.Desktop)
		s.LogInBy(next, login)
		Eventually(next.Heading).Should(Equal("Enter a recovery code"))
		typeCode(next, codes[0])
		s.Inside(next)
	})
})

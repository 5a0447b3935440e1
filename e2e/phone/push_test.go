package phone

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"countersign/e2e/chromium"
	"countersign/e2e/scene"
	"countersign/mobile/wire"
	"countersign/simulator/inbox"
	"countersign/simulator/webpush"
)

// subscribes has the phone's browser subscribe at the double: Chromium here reaches no push service. All else is the browser's.
const subscribes = `(() => {
	const given = %s;
	const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
	const subscription = () => ({
		endpoint: given.endpoint, options: { applicationServerKey: bytes(%q).buffer }, toJSON: () => given,
		unsubscribe: async () => { localStorage.removeItem("subscribed"); return true; },
	});
	PushManager.prototype.getSubscription = async () => (localStorage.getItem("subscribed") ? subscription() : null);
	PushManager.prototype.subscribe = async ({ userVisibleOnly, applicationServerKey }) => {
		if (!userVisibleOnly || [...applicationServerKey].join() !== [...bytes(%[2]q)].join()) throw new Error("another key than the server's");
		localStorage.setItem("subscribed", "1");
		return subscription();
	};
})();`

// subscribable gives the phone a push service, and what it is reached by there.
func (a *actor) subscribable(ctx context.Context) wire.Subscription {
	GinkgoHelper()
	var offers wire.PushOffers
	Expect(server.Call(ctx, http.MethodGet, "/authenticators/mobile/push_channels/", nil, &offers)).To(Succeed())
	var key string
	for _, o := range offers.Channels {
		if o.Channel == wire.ChannelWebPush {
			key = o.VAPIDPublicKey
		}
	}
	subscription, err := push.NewSubscription(key)
	Expect(err).NotTo(HaveOccurred())
	text, err := json.Marshal(subscription)
	Expect(err).NotTo(HaveOccurred())
	Expect(a.phone.Before(fmt.Sprintf(subscribes, text, key))).To(Succeed())
	Expect(a.phone.Notify()).To(Succeed())
	Expect(a.phone.Attend()).To(Succeed())
	return subscription
}

// rung waits for the next push to a subscription, and hands it to the phone's service worker.
func (a *actor) rung(ctx context.Context, s wire.Subscription) inbox.Record {
	GinkgoHelper()
	r, err := push.Await(ctx, func(r inbox.Record) bool { return r.Address == webpush.ID(s) })
	Expect(err).NotTo(HaveOccurred(), "the phone is not rung")
	Expect(a.phone.Push(a.Base+phonePath, r.Plain)).To(Succeed())
	return r
}

// notifications are the titles of those that the phone shows.
func notifications(tab *chromium.Tab) ([]string, error) {
	return chromium.Value[[]string](tab, `navigator.serviceWorker.getRegistration("/if/phone/").then((r) => r.getNotifications()).then((all) => all.map((n) => n.title + ": " + n.body))`)
}

var _ = Describe("The phone is rung", Label("phone"), func() {
	// T13, T24: what rings the phone tells nobody anything, and the phone shows what it then fetches.
	It("by Web Push, with the page closed", SpecTimeout(2*specLimit), func(ctx SpecContext) {
		a := newActor(ctx)
		a.plug()
		subscription := a.subscribable(ctx)
		a.openCode(a.code())
		Eventually(a.phone.Heading).Should(Equal("Add this account?"))
		click(a.phone, "Add this account")
		a.recognise()
		Eventually(a.phone.Text).Should(ContainSubstring("Be rung when you sign in"))
		a.Inside(a.computer)
		click(a.phone, "Ring me")
		Eventually(a.phone.Heading).Should(Equal("Your authenticator"))
		Eventually(stored(a.phone, "account.rung")).Should(Equal(subscription.Endpoint))

		By("closed, it shows a notification that says nothing about anybody")
		Expect(a.phone.Open(chromium.Blank)).To(Succeed())
		tab := a.Tab(chromium.Desktop)
		a.LogIn(tab)
		r := a.rung(ctx, subscription)
		Expect(r.Plain).NotTo(ContainSubstring(a.Person.Username))
		Expect(r.Plain).NotTo(ContainSubstring(number(tab)))
		a.Outside(tab)

		By("opened, it asks")
		Expect(a.phone.Open(phonePath)).To(Succeed())
		Eventually(a.phone.Heading).Should(Equal("Is this you?"))
		Eventually(notifications).WithArguments(a.phone).Should(ConsistOf("Is this you?: A request waits for your answer."))
		a.answer(number(tab))
		a.Inside(tab)
	})

	It("without a server the page still opens, and says so", SpecTimeout(2*specLimit), func(ctx SpecContext) {
		other, err := bed.Serve(ctx)
		Expect(err).NotTo(HaveOccurred())
		a := newActorAt(ctx, other)
		a.openCode(a.code())
		a.add()
		Eventually(func() (bool, error) {
			return chromium.Value[bool](a.phone, "navigator.serviceWorker.controller !== null")
		}).Should(BeTrue(), "the page is kept")
		Expect(a.computer.Open(chromium.Blank)).To(Succeed())
		Expect(other.Stop()).To(Succeed())
		Expect(a.phone.Reload()).To(Succeed())
		Eventually(a.phone.Heading).Should(Equal("Your authenticator"))
		Eventually(a.phone.Text).Should(ContainSubstring("The server cannot be reached."))
		scene.NoOverflow(a.phone)
	})
})

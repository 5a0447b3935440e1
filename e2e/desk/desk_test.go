package desk

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing/fstest"

	"github.com/chromedp/chromedp/kb"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"countersign/e2e/chromium"
	"countersign/e2e/scene"
	"countersign/simulator/desk"
	"countersign/simulator/engine"
	"countersign/simulator/event"
	"countersign/simulator/report"
	"countersign/simulator/scenario"
)

const crowd = `
name: crowd
about: Few people who log in often.
seed: 3
target: {stand_in: true}
phones:
- name: all
  count: 3
  people: [{do: approve, after: 50ms}]
logins:
- {rate: 10, until: 1h}
`

// running is a run that goes on until the spec ends, and its desk.
type running struct {
	control engine.Control
	figures *report.Collector
	hub     *desk.Hub
	url     string
	end     func() // interrupts the run and waits for it
}

func start(ctx context.Context) *running {
	GinkgoHelper()
	r := &running{figures: report.New()}
	r.hub = desk.NewHub(r.figures, nil)
	list, err := scenario.Read(fstest.MapFS{"crowd.yaml": {Data: []byte(crowd)}}, "crowd.yaml", engine.Words(r.figures.Metrics()), nil)
	Expect(err).NotTo(HaveOccurred())
	Expect(list).To(HaveLen(1))
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		_, err := engine.Run(ctx, engine.Options{Scenario: list[0], Seed: 3, Meter: r.figures, Sink: event.Sinks{r.hub}, Control: &r.control})
		ended <- err
	}()
	r.end = func() {
		GinkgoHelper()
		cancel()
		Eventually(ended).Should(Receive(BeNil()))
		ended <- nil // for whoever ends it again
	}
	DeferCleanup(func() { r.end() })
	srv := httptest.NewServer(desk.New(r.hub, &r.control, desk.Options{}))
	DeferCleanup(func() { srv.CloseClientConnections(); srv.Close() })
	r.url = srv.URL
	return r
}

// open is a tab; when the spec ends its page must not have complained.
func open(url string, size chromium.Size) *chromium.Tab {
	GinkgoHelper()
	tab, err := chrome.NewTab(url, size)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() {
		if !CurrentSpecReport().Failed() {
			Expect(tab.Complaints()).To(BeEmpty(), "complaints of the browser")
		}
		tab.Close()
	})
	Expect(tab.Open("/")).To(Succeed())
	return tab
}

// text is what the first element shows that a selector finds, in the page or in the phone that it holds.
func text(tab *chromium.Tab, where, selector string) func() (string, error) {
	return func() (string, error) {
		return chromium.Value[string](tab, fmt.Sprintf("%s?.querySelector(%q)?.innerText ?? ''", where, selector))
	}
}

const (
	page = "document"
	held = "document.getElementById('held-phone').contentDocument"
)

var _ = Describe("A run", Label("desk"), func() {
	for name, size := range map[string]chromium.Size{"on a desktop": chromium.Desktop, "on a phone": chromium.Phone} {
		It("is watched, paused, stepped, and one of its phones answered by hand, "+name, SpecTimeout(scene.Limit), func(ctx SpecContext) {
			r := start(ctx)
			tab := open(r.url, size)
			Eventually(text(tab, page, "h1")).Should(Equal("crowd"))
			Eventually(text(tab, page, "#outcomes")).Should(ContainSubstring("approved"))
			Eventually(func() (int, error) { return chromium.Value[int](tab, "document.querySelectorAll('.p').length") }).Should(Equal(3))
			scene.NoOverflow(tab)

			By("pausing it")
			Expect(tab.Click("Pause")).To(Succeed())
			Eventually(text(tab, page, "#link")).Should(Equal("paused"))
			Expect(r.control.Paused()).To(BeTrue())
			Eventually(func() int { return r.hub.Snapshot().Counts.Flying }).Should(BeZero())

			By("taking a phone over")
			Expect(chromium.Value[any](tab, "document.querySelector('.p[tabindex=\"0\"]').focus()")).Error().NotTo(HaveOccurred())
			Expect(tab.Keys(kb.End + kb.ArrowLeft + kb.Enter)).To(Succeed())
			Eventually(text(tab, page, "#held-title")).Should(Equal("Phone 2, taken over"))
			Eventually(text(tab, held, "#name")).Should(Equal("Phone 2"))
			scene.NoOverflow(tab)

			By("letting one login after the other begin until it rings")
			begun := r.hub.Snapshot().Counts.Due
			Eventually(func() (string, error) {
				if s := r.hub.Snapshot().Counts; s.Due == begun && s.Flying == 0 {
					r.control.Step()
					begun++
				}
				return text(tab, held, "#sheet-title")()
			}).Should(Equal("Are you logging in?"))
			Expect(chromium.Value[any](tab, held+".querySelector('.deny').click()")).Error().NotTo(HaveOccurred())
			Eventually(text(tab, held, "#sheet-title")).Should(Equal("Login refused"))
			Eventually(func() int { return r.hub.Snapshot().Outcomes["denied"] }).Should(Equal(1))
			Eventually(text(tab, page, "#outcomes")).Should(ContainSubstring("denied"))

			By("giving it back")
			Expect(tab.Click("Give back")).To(Succeed())
			Eventually(r.hub.Taken).Should(BeEmpty())
			Eventually(func() (bool, error) { return chromium.Value[bool](tab, "document.getElementById('held').hidden") }).Should(BeTrue())
			Expect(tab.Click("Resume")).To(Succeed())
			Eventually(text(tab, page, "#link")).Should(Equal("running"))

			By("ending it")
			r.end()
			Eventually(text(tab, page, "#link")).Should(Equal("ended: interrupted"))
			Eventually(func() (bool, error) { return chromium.Value[bool](tab, "document.getElementById('pause').disabled") }).Should(BeTrue())
		})
	}

	It("has a report that fits any page", SpecTimeout(scene.Limit), func(ctx SpecContext) {
		r := start(ctx)
		Eventually(func() int { return r.hub.Snapshot().Counts.Done }).Should(BeNumerically(">", 15))
		r.end()
		s := r.figures.Summary()
		var out bytes.Buffer
		Expect(s.HTML(&out)).To(Succeed())
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Path != "/" {
				http.NotFound(w, req)
				return
			}
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = w.Write(out.Bytes())
		}))
		DeferCleanup(srv.Close)
		for _, size := range []chromium.Size{chromium.Desktop, chromium.Phone} {
			tab := open(srv.URL, size)
			Expect(tab.Text()).To(And(ContainSubstring("crowd"), ContainSubstring("seed 3"), ContainSubstring("interrupted")))
			Expect(chromium.Value[any](tab, "document.querySelectorAll('details').forEach((d) => { d.open = true; })")).Error().NotTo(HaveOccurred())
			scene.NoOverflow(tab)
			// The page's own style is in force: what the policy names is what is there.
			Expect(chromium.Value[string](tab, "getComputedStyle(document.querySelector('.figures')).display")).To(Equal("grid"))
		}
	})
})

package chromium

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/serviceworker"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// ErrMissing says that there is no Chromium on this machine.
var ErrMissing = errors.New("no Chromium in PATH (Debian: apt-get install --no-install-recommends chromium)")

// stepLimit is how long one step in a tab may take.
const stepLimit = 30 * time.Second

// Browser is a running Chromium.
type Browser struct {
	ctx    context.Context
	cancel context.CancelFunc
}

// Start runs Chromium without a window. Close it. It fails with ErrMissing where there is none.
func Start() (*Browser, error) {
	path, err := find()
	if err != nil {
		return nil, err
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		// The sandbox does not start as root; the pages are our own.
		chromedp.NoSandbox, chromedp.ExecPath(path), chromedp.Flag("disable-dev-shm-usage", true), chromedp.DisableGPU)...)
	ctx, cancel := chromedp.NewContext(allocator)
	b := &Browser{ctx: ctx, cancel: func() { cancel(); stop() }}
	if err := chromedp.Do(ctx); err != nil {
		b.Close()
		return nil, fmt.Errorf("start Chromium: %w", err)
	}
	return b, nil
}

// StartFor is Start for a test, which is skipped where there is no Chromium; with CI=true that fails it. Chromium ends with
// the test.
func StartFor(t testing.TB) *Browser {
	t.Helper()
	b, err := Start()
	if errors.Is(err, ErrMissing) && os.Getenv("CI") != "true" {
		t.Skip("no browser to drive: " + err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func find() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", ErrMissing
}

// Close ends Chromium.
func (b *Browser) Close() { b.cancel() }

// Size is that of a tab's page, in CSS pixels.
type Size struct {
	Width, Height int64
	Touch         bool // a phone: touch events, mobile layout
}

// The sizes that the pages are made for.
var (
	Desktop = Size{Width: 1280, Height: 800}
	Phone   = Size{Width: 390, Height: 844, Touch: true}
)

// Tab is a page in a browser.
type Tab struct {
	base   string
	size   Size
	ctx    context.Context
	cancel context.CancelFunc

	mu         sync.Mutex
	complaints []string
	workers    map[string]serviceworker.RegistrationID // by scope
}

// NewTab opens a tab of a new person: without cookies. base is put before every address.
func (b *Browser) NewTab(base string, size Size) (*Tab, error) {
	return open(b.ctx, base, size, chromedp.WithNewBrowserContext())
}

// Another opens a tab beside t, with its cookies. Close it before t.
func (t *Tab) Another() (*Tab, error) { return open(t.ctx, t.base, t.size) }

func open(parent context.Context, base string, size Size, o ...chromedp.ContextOption) (*Tab, error) {
	ctx, cancel := chromedp.NewContext(parent, o...)
	t := &Tab{base: base, size: size, ctx: ctx, cancel: cancel, workers: map[string]serviceworker.RegistrationID{}}
	err := chromedp.Do(ctx)
	if err == nil {
		err = chromedp.Listen(ctx, t.heard)
	}
	if err == nil {
		var options []chromedp.EmulateViewportOption
		if size.Touch {
			options = append(options, chromedp.EmulateMobile, chromedp.EmulateTouch)
		}
		err = t.Do(chromedp.EmulateViewport(size.Width, size.Height, options...))
	}
	if err == nil {
		_, err = Command(t, log.Enable, cdp.Empty{})
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("open a tab: %w", err)
	}
	return t, nil
}

// heard notes what the browser complains about. Requests that the server refuses are what some specs are about.
func (t *Tab) heard(event any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		t.complaints = append(t.complaints, "exception: "+e.ExceptionDetails.Text+" "+fmt.Sprint(e.ExceptionDetails.Exception))
	case *serviceworker.EventWorkerRegistrationUpdated:
		t.registered(e.Registrations)
	case *log.EventEntryAdded:
		if e.Entry.Level == "error" && e.Entry.Source != "network" {
			t.complaints = append(t.complaints, e.Entry.Text)
		}
	}
}

// Complaints are the script errors and policy violations of the tab's pages so far.
func (t *Tab) Complaints() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.complaints...)
}

// Close closes the tab.
func (t *Tab) Close() { t.cancel() }

// Blank is the page of no server.
const Blank = "about:blank"

// Open goes to a path of the server, or to Blank.
func (t *Tab) Open(path string) error {
	if path == Blank {
		return t.Do(chromedp.Navigate(path))
	}
	return t.Do(chromedp.Navigate(t.base + path))
}

// Reload loads the page anew.
func (t *Tab) Reload() error { return t.Do(chromedp.Reload()) }

// Do takes steps, together within ten seconds.
func (t *Tab) Do(steps ...chromedp.Action[chromedp.Void]) error {
	ctx, cancel := context.WithTimeout(t.ctx, stepLimit)
	defer cancel()
	return chromedp.Do(ctx, steps...)
}

// Command sends one command of the DevTools protocol, for what has no method here.
func Command[P, R any](t *Tab, c cdp.Command[P, R], p P) (out R, err error) {
	err = t.Do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) (err error) {
		out, err = cdp.Call(ctx, target, c, p)
		return err
	}))
	return out, err
}

// Value evaluates a script expression; promises are awaited.
func Value[T any](t *Tab, expression string) (T, error) {
	ctx, cancel := context.WithTimeout(t.ctx, stepLimit)
	defer cancel()
	var v T
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("(async () => JSON.stringify(await ("+expression+")) ?? 'null')()", chromedp.EvalAwaitPromise))
	if err != nil {
		return v, fmt.Errorf("%s: %w", expression, err)
	}
	return v, json.Unmarshal([]byte(text), &v)
}

// Heading is the page's heading.
func (t *Tab) Heading() (string, error) {
	return Value[string](t, "document.getElementById('heading')?.textContent.trim() ?? ''")
}

// Text is all that the page shows.
func (t *Tab) Text() (string, error) { return Value[string](t, "document.body.innerText") }

// Path is where the page lies, without host and query.
func (t *Tab) Path() (string, error) { return Value[string](t, "location.pathname") }

// Focus is the name of the field that takes the keys, "" if none.
func (t *Tab) Focus() (string, error) { return Value[string](t, "document.activeElement?.name ?? ''") }

// Keys presses keys where the focus is.
func (t *Tab) Keys(keys string) error { return t.Do(chromedp.KeyEvent(keys)) }

// Enter puts a text in where the focus is, as a paste does, and presses Enter. Keys would be a message to the browser for
// each half of a key.
func (t *Tab) Enter(text string) error {
	if _, err := Command(t, input.InsertText, input.InsertTextParams{Text: text}); err != nil {
		return err
	}
	return t.Keys(kb.Enter)
}

// Click clicks the middle of the first button or link whose text begins so, where a person would.
func (t *Tab) Click(text string) error {
	at, err := Value[*struct{ X, Y float64 }](t, fmt.Sprintf(`(() => {
		const hit = [...document.querySelectorAll("button, a")].find((e) => e.innerText.trim().startsWith(%q) && e.checkVisibility());
		if (!hit) return null;
		hit.scrollIntoView({ block: "center", behavior: "instant" });
		const r = hit.getBoundingClientRect(), x = r.x + r.width / 2, y = r.y + r.height / 2;
		return hit.contains(document.elementFromPoint(x, y)) ? { x, y } : null;
	})()`, text))
	if err != nil {
		return err
	}
	if at == nil {
		return fmt.Errorf("no button or link %q to click", text)
	}
	return t.Do(chromedp.MouseClickXY(at.X, at.Y))
}

// Overflows tells whether the page is wider than the tab.
func (t *Tab) Overflows() (bool, error) {
	return Value[bool](t, "document.documentElement.scrollWidth > innerWidth")
}

// Picture is a PNG of what the tab shows.
func (t *Tab) Picture() ([]byte, error) {
	ctx, cancel := context.WithTimeout(t.ctx, stepLimit)
	defer cancel()
	return chromedp.Run(ctx, chromedp.CaptureScreenshot())
}

// FullPicture is a PNG of the whole page, also of what lies below.
func (t *Tab) FullPicture() ([]byte, error) {
	ctx, cancel := context.WithTimeout(t.ctx, stepLimit)
	defer cancel()
	return chromedp.Run(ctx, chromedp.FullScreenshot(100))
}

// Header has every request of the tab carry a header, until it is set anew.
func (t *Tab) Header(name, value string) error {
	if _, err := Command(t, network.Enable, network.EnableParams{}); err != nil {
		return err
	}
	_, err := Command(t, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{name: value}})
	return err
}

package chromium

import (
	"errors"
	"fmt"
	"strings"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/serviceworker"
	"github.com/chromedp/cdproto/target"
)

// Attend follows the service workers of the tab's pages, for Push.
func (t *Tab) Attend() error {
	_, err := Command(t, serviceworker.Enable, cdp.Empty{})
	return err
}

// registered notes the service workers that there are.
func (t *Tab) registered(all []*serviceworker.Registration) {
	for _, r := range all {
		if !r.IsDeleted {
			t.workers[r.ScopeURL] = r.RegistrationID
		}
	}
}

// Push hands data to the service worker of a scope, a URL, as the browser does with a push that came in. The tab must Attend.
func (t *Tab) Push(scope, data string) error {
	t.mu.Lock()
	id, ok := t.workers[scope]
	t.mu.Unlock()
	if !ok {
		return errors.New("there is no service worker for " + scope)
	}
	scheme, rest, _ := strings.Cut(scope, "://")
	host, _, _ := strings.Cut(rest, "/")
	p := serviceworker.DeliverPushMessageParams{Origin: scheme + "://" + host, RegistrationID: id, Data: data}
	if _, err := Command(t, serviceworker.DeliverPushMessage, p); err != nil {
		return fmt.Errorf("deliver a push: %w", err)
	}
	return nil
}

// Notify lets the pages of the tab's person show notifications.
func (t *Tab) Notify() error {
	own, err := Command(t, target.GetTargetInfo, target.GetTargetInfoParams{})
	if err != nil {
		return err
	}
	_, err = Command(t, browser.SetPermission, browser.SetPermissionParams{
		Permission: &browser.PermissionDescriptor{Name: "notifications"}, Setting: browser.PermissionSettingGranted,
		BrowserContextID: own.TargetInfo.BrowserContextID,
	})
	return err
}

// Before runs a script before those of each page that the tab opens from now on.
func (t *Tab) Before(script string) error {
	_, err := Command(t, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
	return err
}

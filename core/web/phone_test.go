package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"countersign/e2e/chromium"
)

func TestPhoneParts(t *testing.T) {
	t.Parallel()
	w := newWeb(t)
	page := get(http.HandlerFunc(w.PhonePage), PhonePath)
	if got := page.Header.Get("Content-Security-Policy"); got != phoneSecurityPolicy {
		t.Errorf("the page's policy is %q", got)
	}
	if len(page.Cookies()) != 0 {
		t.Error("the page sets a cookie, which nothing on it needs")
	}
	for _, policy := range []string{phoneSecurityPolicy, workerSecurityPolicy} {
		if strings.Contains(policy, "unsafe") || !strings.Contains(policy, "default-src 'none'") {
			t.Errorf("the policy %q allows too much", policy)
		}
	}
	if body := text(t, page); !strings.Contains(body, `rel="manifest"`) || !strings.Contains(body, "/phone/request.js") {
		t.Error("the page names no manifest, or not its modules")
	}

	worker := get(http.HandlerFunc(w.PhonePage), PhonePath+"sw.js")
	script := text(t, worker)
	if got := worker.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/javascript") {
		t.Errorf("the worker's type is %q", got)
	}
	first, _, _ := strings.Cut(script, "\n")
	_, list, _ := strings.Cut(first, "files = ")
	var files []string
	if err := json.Unmarshal([]byte(strings.TrimSuffix(list, ";")), &files); err != nil {
		t.Fatalf("files of the worker: %v", err)
	}
	for _, name := range []string{"phone/phone.js", "phone/jose.js", "flow/dom.js", "user/dialog.js", "css/phone.css"} {
		if !slices.Contains(files, "/static/"+w.assets.version+"/"+name) {
			t.Errorf("the worker does not keep %s", name)
		}
	}
	for _, file := range files {
		if r := get(w.Static(), file); r.StatusCode != http.StatusOK {
			t.Errorf("%s, which the worker is to keep, is %d", file, r.StatusCode)
		}
	}

	var manifest struct {
		Scope string `json:"scope"`
		Icons []struct {
			Source  string `json:"src"`
			Purpose string `json:"purpose"`
		} `json:"icons"`
	}
	if err := json.Unmarshal([]byte(text(t, get(http.HandlerFunc(w.PhonePage), PhonePath+"manifest.webmanifest"))), &manifest); err != nil {
		t.Fatal(err)
	}
	if manifest.Scope != PhonePath || len(manifest.Icons) == 0 {
		t.Errorf("manifest: %+v", manifest)
	}
	for _, icon := range manifest.Icons {
		if r := get(http.HandlerFunc(w.PhonePage), icon.Source); r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != "image/png" {
			t.Errorf("%s is %d", icon.Source, r.StatusCode)
		}
	}
	for _, name := range []string{"worker.js", "phone.js", "nothing", "../css/base.css"} {
		if r := get(http.HandlerFunc(w.PhonePage), PhonePath+name); r.StatusCode != http.StatusNotFound {
			t.Errorf("%s is %d", name, r.StatusCode)
		}
	}
}

// A vector is one of those that every phone is held to: see docs/phone-app.md.
type vector struct {
	Name    string
	Kind    string
	Key     json.RawMessage
	Method  string
	URL     string
	Body    string
	Token   string
	Server  string
	Device  string
	Use     string
	Digest  string `json:"challenge_digest"`
	Payload string
	JWS     string
}

// T19, T20, T24: the phone's page reads and writes the published vectors as they stand, and takes no challenge that was
// changed, is another's, or names another algorithm.
func TestPhoneVectors(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../mobile/wire/testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	f := newFake(t)
	b := newTab(t, chromium.StartFor(t))
	b.do(chromedp.Navigate(f.URL + PhonePath))
	b.until("document.getElementById('heading').textContent !== ''")
	counts := map[string]int{}
	for _, v := range all {
		if !strings.HasPrefix(v.Name, "ES256") {
			continue // the page has keys of one kind
		}
		if v.Kind == "registration" || v.Kind == "assertion" {
			continue // the browser's own doing
		}
		counts[v.Kind]++
		got := b.eval(fmt.Sprintf(`import("/static/phone/wire.js").then(async (wire) => (%s)(wire, await import("/static/phone/jose.js"), %s))`, scripts[v.Kind], quoted(t, v)))
		if got != `"ok"` {
			t.Errorf("%s: %s", v.Name, got)
		}
	}
	for kind := range scripts {
		if counts[kind] == 0 {
			t.Errorf("there is no vector of a %s", kind)
		}
	}
}

// T16: the phone's page shows of what is no login just what the published vectors say, and refuses what they refuse.
func TestPhoneDisplayVectors(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../mobile/wire/testdata/display.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []struct {
		Name, Payload string
		Lines         []map[string]string
	}
	if err := json.Unmarshal(raw, &all); err != nil || len(all) == 0 {
		t.Fatalf("%d vectors: %v", len(all), err)
	}
	f := newFake(t)
	b := newTab(t, chromium.StartFor(t))
	b.do(chromedp.Navigate(f.URL + PhonePath))
	b.until("document.getElementById('heading').textContent !== ''")
	for _, v := range all {
		got := b.eval(fmt.Sprintf(`import("/static/phone/wire.js").then((wire) => {
			const said = JSON.parse(%[1]s), who = { server: said.iss, device: said.aud };
			const read = (text) => { try { return wire.readChallenge(text, who).lines ?? "a login"; } catch { return null; } };
			for (const [name, text] of Object.entries({
				"as a login": JSON.stringify({ ...said, v: 1 }), "of a later version": JSON.stringify({ ...said, v: 3 }),
				"without what it is": JSON.stringify({ ...said, apr: undefined }), "with more signed than shown": JSON.stringify({ ...said, apr: { ...said.apr, note: "x" } }),
			})) if (read(text) !== null) return name;
			return read(%[1]s);
		})`, quoted(t, v.Payload)))
		var lines []map[string]string
		if err := json.Unmarshal([]byte(got), &lines); err != nil || !reflect.DeepEqual(lines, v.Lines) {
			t.Errorf("%s: %s, want %v", v.Name, got, v.Lines)
		}
	}
}

func quoted(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// scripts check a vector of a kind in the page: "ok", or what is wrong.
var scripts = map[string]string{
	"proof": `async (wire, jose, v) => {
		const said = JSON.parse(v.Payload);
		const claims = await wire.proofClaims({ method: v.Method, url: v.URL + "?query=1", body: v.Body, token: v.Token, nonce: said.nonce, id: said.jti, seconds: said.iat });
		if (claims !== v.Payload) return "claims: " + claims;
		const key = await jose.newKey();
		if (key.privateKey.extractable) return "the key can be read";
		const compact = await wire.prove(key, { method: "GET", url: v.URL, body: "", token: v.Token });
		const header = JSON.parse(new TextDecoder().decode(jose.bytesOf(compact.split(".")[0])));
		return header.typ === "dpop+jwt" && header.jwk.x === key.jwk.x && !("d" in header.jwk) ? "ok" : "header: " + JSON.stringify(header);
	}`,
	"challenge": `async (wire, jose, v) => {
		const account = { serverKey: v.Key, server: v.Server, device: v.Device };
		const said = JSON.parse(v.Payload), shown = await wire.checkChallenge(v.JWS, account);
		if (shown.digest !== v.challenge_digest) return "digest: " + shown.digest;
		if (shown.items.join() !== said.items.join() || shown.context.application !== said.ctx.app || shown.expires !== said.exp * 1000) return "shown: " + JSON.stringify(shown);
		const [head, body, mark] = v.JWS.split(".");
		const text = (s) => new TextDecoder().decode(jose.bytesOf(s)), code = (s) => jose.base64url(jose.utf8(s));
		const header = (members) => code(JSON.stringify({ ...JSON.parse(text(head)), ...members })) + "." + body + "." + mark;
		const other = await jose.newKey();
		const bad = {
			"other context": [head + "." + code(text(body).replace("192.0.2.1", "192.0.2.9")) + "." + mark, account],
			"other key": [v.JWS, { ...account, serverKey: other.jwk }],
			"signed by another": [await jose.sign("countersign-challenge+jwt", text(body), other), account],
			"another's device": [v.JWS, { ...account, device: "018f6f7e-0000-7000-8000-00000000000f" }],
			"another server": [v.JWS, { ...account, server: "https://evil.example/" }],
			"alg none": [header({ alg: "none" }), account],
			"alg HS256": [header({ alg: "HS256" }), account],
			"a key in the header": [header({ jwk: other.jwk }), account],
			"another typ": [header({ typ: "countersign-answer+jwt" }), account],
			"no signature": [head + "." + body + ".", account],
			"a part more": [v.JWS + ".x", account],
			"padding": [v.JWS + "=", account],
		};
		for (const [name, [jws, who]] of Object.entries(bad)) {
			if (await wire.checkChallenge(jws, who).then(() => true, () => false)) return name + " is taken";
		}
		return "ok";
	}`,
	"answer": `async (wire, jose, v) => {
		const said = JSON.parse(v.Payload);
		const challenge = { tx: said.tx, digest: v.challenge_digest, expires: said.exp * 1000 };
		const claims = wire.answerClaims(challenge, { server: v.Server, device: v.Device }, said.act, said.item, v.Use);
		if (claims !== v.Payload) return "claims: " + claims;
		try {
			wire.answerClaims(challenge, { server: v.Server, device: v.Device }, "approve", "\u00fc", v.Use);
			return "an item beyond ASCII is signed";
		} catch {}
		return (await jose.verify("countersign-answer+jwt", v.JWS, v.Key)) === v.Payload ? "ok" : "the vector's own signature";
	}`,
}

package webauthn

import (
	"encoding/base64"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"countersign/authenticators/validate"
	"countersign/core/user/usertest"
	"countersign/flows"
	"countersign/flows/flowtest"
)

func TestSignIn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.add(b.user, setupSettings())
	b.Clock.Advance(time.Second)
	second := b.add(b.user, setupSettings(), func(k *key) { k.count = 41 })
	b.add(usertest.Add(t, b.Users, "eve", ""), setupSettings())

	s := loginSettings()
	s.UserVerification = "discouraged"
	br := b.signing(b.user, s)
	page := br.Get(t).Want(t, validate.Component)
	offers := page.JSON["device_challenges"].([]any)
	ids := b.Count(t, `SELECT id FROM webauthn_devices WHERE credential_id = $1`, first.id)
	if len(offers) != 1 || offers[0].(object)["device_uid"] != uid(ids) || offers[0].(object)["device_class"] != Class {
		t.Fatalf("offers %v", offers)
	}
	options := request(t, page)
	if options["rpId"] != testHost || options["timeout"] != 60000.0 || options["userVerification"] != "discouraged" || len(options) != 5 {
		t.Errorf("options %v", options)
	}
	allow := options["allowCredentials"].([]any)
	if len(allow) != 2 || allow[0].(object)["id"] != encode(first.id) || allow[1].(object)["id"] != encode(second.id) || allow[0].(object)["type"] != "public-key" {
		t.Errorf("allowed %v", allow)
	}
	if again := request(t, br.Get(t)); again["challenge"] != options["challenge"] {
		t.Error("a reload makes another challenge")
	}
	second.flags |= 16 | 8
	second.flags &^= 8 | 16
	br.Post(t, object{"webauthn": second.get(options)}).WantContinue(t)
	plan := b.Plan(t, br, br.Slug)
	args := plan.Context.AuthMethodArgs["mfa_devices"].([]any)[0].(object)
	if plan.Context.AuthMethod != "auth_mfa" || plan.Context.Factors[0] != Class || args["pk"] == offers[0].(object)["device_uid"] ||
		args["user_verified"] != true || args["app"] != app || args["model_name"] != "webauthndevice" {
		t.Errorf("context %+v", plan.Context)
	}
	if n := b.Count(t, `SELECT sign_count FROM webauthn_devices WHERE credential_id = $1 AND last_used = $2`, second.id, b.Clock.Now()); n != 42 {
		t.Errorf("the stored counter is %d", n)
	}
}

// Whatever is wrong with an answer: the contract's error, one event, nothing granted, no counter moved.
func TestBadAssertions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	k := b.add(b.user, setupSettings(), func(k *key) { k.count = 10 })
	eve := b.add(usertest.Add(t, b.Users, "eve", ""), setupSettings())
	required := loginSettings()
	required.UserVerification = "required"
	sub := func(name string, n int) func(object) {
		return func(a object) {
			r := a["response"].(object)
			raw, _ := base64.RawURLEncoding.DecodeString(r[name].(string))
			r[name] = encode(raw[:n])
		}
	}
	for name, c := range map[string]struct {
		bend  func(*key)
		after func(object)
		with  validate.Settings
		text  string
	}{
		"origin":         {bend: func(k *key) { k.origin = "https://evil.test" }, text: "another address"},
		"rp id":          {bend: func(k *key) { k.host = "evil.test" }, text: "another address"},
		"challenge":      {bend: func(k *key) { k.challenge = encode(make([]byte, 32)) }, text: "another try"},
		"no challenge":   {bend: func(k *key) { k.client = object{"challenge": ""} }, text: "another try"},
		"type":           {bend: func(k *key) { k.kind = "webauthn.create" }, text: "something else"},
		"cross origin":   {bend: func(k *key) { k.client = object{"crossOrigin": true} }, text: "another address"},
		"no touch":       {bend: func(k *key) { k.flags = 0 }, text: "not touched"},
		"no uv":          {bend: func(k *key) { k.flags = 1 }, with: required, text: "did not check that it is you"},
		"backup":         {bend: func(k *key) { k.flags |= 8 }, text: "could not be checked"},
		"another's key":  {bend: func(k *key) { k.private = eve.private }, text: "signature is wrong"},
		"cloned counter": {bend: func(k *key) { k.count = 9 }, text: "there may be a copy"},
		"older counter":  {bend: func(k *key) { k.count = 3 }, text: "there may be a copy"},
		"zero counter":   {bend: func(k *key) { k.count--; k.count -= 10 }, text: "there may be a copy"},
		"foreign":        {bend: func(k *key) { *k = *eve }, text: "Invalid device"},
		"unknown":        {bend: func(k *key) { k.id = []byte("unknown") }, text: "Invalid device"},
		"eve's handle":   {bend: func(k *key) { k.handle = eve.handle }, text: "could not be checked"},
		"empty":          {after: func(a object) { clear(a) }, text: "could not be read"},
		"no data":        {after: sub("authenticatorData", 0), text: "could not be read"},
		"short data":     {after: sub("authenticatorData", 36), text: "could not be read"},
		"no signature":   {after: sub("signature", 0), text: "signature is wrong"},
		"short client":   {after: sub("clientDataJSON", 20), text: "could not be read"},
		"object type":    {after: func(a object) { a["type"] = "password" }, text: "could not be read"},
		"not base64":     {after: func(a object) { a["id"] = "a b" }, text: "could not be read"},
		"too long":       {after: func(a object) { a["more"] = strings.Repeat("x", maxAnswer) }, text: "could not be read"},
		"a registration": {after: func(a object) { maps.Copy(a, k.created) }, text: "could not be read"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.with.NotConfigured == "" {
				c.with = loginSettings()
			}
			br := b.signing(b.user, c.with)
			options := request(t, br.Get(t))
			bent := *k
			if c.bend != nil {
				c.bend(&bent)
			}
			answer := bent.get(options)
			if c.after != nil {
				c.after(answer)
			}
			before := b.failures()
			p := br.Post(t, object{"webauthn": answer}).Want(t, validate.Component)
			if got := texts(p, Class); !strings.Contains(got, c.text) || !strings.HasPrefix(got, "Assertion failed | ") && got != "Invalid device" {
				t.Errorf("says %q, want %q", got, c.text)
			}
			if request(t, p)["challenge"] == options["challenge"] {
				t.Error("the challenge lives on")
			}
			if n := b.failures() - before; n != 1 {
				t.Errorf("%d events, want 1", n)
			}
			if e := b.event("login_failed"); e["device_class"] != Class || e["who"].(object)["username"] != "ada" {
				t.Errorf("event %v", e)
			}
		})
	}
	if n := b.Count(t, `SELECT sign_count FROM webauthn_devices WHERE credential_id = $1 AND last_used IS NULL`, k.id); n != 10 {
		t.Errorf("the counter is %d", n)
	}
	if n := b.marker.Begun.Load(); n != 0 {
		t.Error("somebody was let in")
	}
}

func TestAnAssertionIsForOneTimeAndOneLogin(t *testing.T) {
	t.Parallel()
	b := setup(t)
	k := b.add(b.user, setupSettings())
	one, other := b.signing(b.user, loginSettings()), b.signing(b.user, loginSettings())
	answer := k.get(request(t, one.Get(t)))
	other.Get(t)
	other.Post(t, object{"webauthn": answer}).Want(t, validate.Component)
	one.Post(t, object{"webauthn": answer}).WantContinue(t)
	again := b.signing(b.user, loginSettings())
	again.Get(t)
	again.Post(t, object{"webauthn": answer}).Want(t, validate.Component)

	late := b.signing(b.user, loginSettings())
	answer = k.get(request(t, late.Get(t)))
	b.Clock.Advance(challengeLife)
	if p := late.Post(t, object{"webauthn": answer}).Want(t, validate.Component); !strings.Contains(texts(p, Class), "too late") {
		t.Errorf("%s", p)
	}
}

// One answer sent many times at once, over two nodes, counts once.
func TestParallelSubmits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	k := b.add(b.user, setupSettings())
	br := b.signing(b.user, loginSettings())
	answer := k.get(request(t, br.Get(t)))
	nodes := []*flows.Engine{b.Engine, b.NewEngine()}
	sends := make([]func() flowtest.Page, 8)
	for i := range sends {
		br.Engine = nodes[i%2]
		sends[i] = br.Prepare(t, true, object{"webauthn": answer})
	}
	together(sends, func(p flowtest.Page) {
		if !p.Continue && p.Component != flows.ComponentRedirect { // which is the end of the flow
			t.Errorf("one of them hears %s", p)
		}
	})
	if n := b.Count(t, `SELECT sign_count FROM webauthn_devices`); n != 1 || b.failures() != 0 {
		t.Errorf("counter %d, %d failures", n, b.failures())
	}
}

// Two copies of a key with the same counter sign in at once: one of them is noticed.
func TestParallelCopies(t *testing.T) {
	t.Parallel()
	b := setup(t)
	k := b.add(b.user, setupSettings(), func(k *key) { k.count = 1 })
	sends := make([]func() flowtest.Page, 6)
	for i := range sends {
		br := b.signing(b.user, loginSettings())
		answer := object{"webauthn": (&key{id: k.id, private: k.private, count: 1, handle: k.handle, flags: 5}).get(request(t, br.Get(t)))}
		sends[i] = br.Prepare(t, true, answer)
	}
	won := 0
	together(sends, func(p flowtest.Page) {
		if p.Continue {
			won++
		} else if !strings.Contains(texts(p, Class), "there may be a copy") {
			t.Errorf("one of them hears %s", p)
		}
	})
	if won != 1 || b.failures() != len(sends)-1 {
		t.Errorf("%d got in, %d failures", won, b.failures())
	}
}

// Passkeys that do not count are used from several places at once.
func TestKeysWithoutACounter(t *testing.T) {
	t.Parallel()
	b := setup(t)
	k := b.add(b.user, setupSettings())
	for range 3 {
		k.count-- // get counts
		br := b.signing(b.user, loginSettings())
		br.Post(t, object{"webauthn": k.get(request(t, br.Get(t)))}).WantContinue(t)
	}
}

func together(sends []func() flowtest.Page, each func(flowtest.Page)) {
	pages := make([]flowtest.Page, len(sends))
	var wg sync.WaitGroup
	for i, send := range sends {
		wg.Go(func() { pages[i] = send() })
	}
	wg.Wait()
	for _, p := range pages {
		each(p)
	}
}

func TestRemovedWhileTheLoginRuns(t *testing.T) {
	t.Parallel()
	b := setup(t)
	k := b.add(b.user, setupSettings())
	br := b.signing(b.user, loginSettings())
	answer := k.get(request(t, br.Get(t)))
	b.Exec(t, `DELETE FROM webauthn_devices`)
	if p := br.Post(t, object{"webauthn": answer}).Want(t, validate.Component); texts(p, Class) != "Invalid device" {
		t.Errorf("%s", p)
	}
}

func TestRestrictionAtSignIn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bitwarden := uuid.MustParse("d548826e-79b4-db40-a3d8-11116f7e8349")
	yubi := b.add(b.user, setupSettings())
	bit := b.add(b.user, setupSettings(), func(k *key) { k.aaguid = bitwarden })
	strange := b.add(b.user, setupSettings(), func(k *key) { k.aaguid = uuid.New() })
	only := func(ids ...uuid.UUID) validate.Settings {
		s := loginSettings()
		s.AllowedDeviceTypes = ids
		return s
	}
	for name, c := range map[string]struct {
		with validate.Settings
		want []*key
	}{
		"all": {only(), []*key{yubi, bit, strange}}, "one": {only(bitwarden), []*key{bit}},
		"unknown": {only(uuid.Nil), []*key{strange}}, "two": {only(uuid.Nil, yubikey), []*key{yubi, strange}},
	} {
		allow := request(t, b.signing(b.user, c.with).Get(t))["allowCredentials"].([]any)
		got := map[string]bool{}
		for _, a := range allow {
			got[a.(object)["id"].(string)] = true
		}
		for _, k := range c.want {
			if !got[encode(k.id)] || len(got) != len(c.want) {
				t.Errorf("%s: asked for %v", name, allow)
			}
		}
	}
	p := b.signing(b.user, only(uuid.New())).Get(t).Want(t, flows.ComponentAccessDenied)
	if p.Text("error_message") != "No (allowed) MFA authenticator configured." {
		t.Errorf("%s", p)
	}
	// The rule changes while the login runs.
	br := b.signing(b.user, loginSettings())
	answer := bit.get(request(t, br.Get(t)))
	b.Exec(t, `UPDATE stages SET settings = jsonb_set(settings, '{webauthn_allowed_device_types}', to_jsonb(array[$1::uuid])) WHERE kind = $2`, yubikey, loginModel)
	p = br.Post(t, object{"webauthn": answer}).Want(t, validate.Component)
	want := "Invalid device type. Contact your Test administrator for help. | Bitwarden is not one of the makes that are allowed here."
	if got := texts(p, Class); got != want {
		t.Errorf("says %q", got)
	}
	if e := b.event("login_failed"); e["device_type"].(object)["name"] != "Bitwarden" {
		t.Errorf("event %v", e)
	}
}

func TestWithoutAName(t *testing.T) {
	t.Parallel()
	b := setup(t)
	k := b.add(b.user, setupSettings())
	br := b.signing(nil, loginSettings())
	page := br.Get(t)
	offer := page.Want(t, validate.Component).JSON["device_challenges"].([]any)[0].(object)
	if allow, ok := offer["challenge"].(object)["allowCredentials"].([]any); !ok || len(allow) != 0 || offer["device_uid"] != "-1" {
		t.Errorf("offer %v", offer)
	}
	if page.Text("pending_user") != "" {
		t.Errorf("shows %q", page.Text("pending_user"))
	}
	br.Post(t, object{"webauthn": k.get(request(t, page))}).WantContinue(t)
	plan := b.Plan(t, br, br.Slug)
	c := plan.Context
	device := c.AuthMethodArgs["device"].(object)
	if c.PendingUser != b.user.ID || c.AuthMethod != "auth_webauthn_pwl" || device["model_name"] != "webauthndevice" ||
		c.AuthMethodArgs["device_type"].(object)["name"] != "YubiKey 5 Series with NFC" || strings.Join(c.Factors, " ") != Class {
		t.Errorf("context %+v", c)
	}
	br.Follow(t).Want(t, flowtest.Component(marker))
}

func TestWithoutANameIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	k := b.add(b.user, setupSettings())
	eve := usertest.Add(t, b.Users, "eve", "")
	hers := b.add(eve, setupSettings())
	for name, bend := range map[string]func(*key){
		"no handle":      func(k *key) { k.handle = nil },
		"eve's handle":   func(k *key) { k.handle = hers.handle },
		"unknown":        func(k *key) { k.id = []byte("x") },
		"another's key":  func(k *key) { k.private = hers.private },
		"another's both": func(k *key) { k.id, k.private = hers.id, hers.private },
	} {
		br := b.signing(nil, loginSettings())
		bent := *k
		bend(&bent)
		br.Post(t, object{"webauthn": bent.get(request(t, br.Get(t)))}).Want(t, validate.Component)
		if plan := b.Plan(t, br, br.Slug); plan.Context.PendingUser != 0 {
			t.Errorf("%s: signed in as %d", name, plan.Context.PendingUser)
		}
	}
	s := loginSettings()
	s.AllowedDeviceTypes = []uuid.UUID{uuid.Nil}
	br := b.signing(nil, s)
	if p := br.Post(t, object{"webauthn": k.get(request(t, br.Get(t)))}).Want(t, validate.Component); !strings.HasPrefix(texts(p, Class), "Invalid device type.") {
		t.Errorf("%s", p)
	}
	// Other flows than those that authenticate pass over a stage that knows nobody; and so does one without the class.
	for name, change := range map[string]struct {
		designation flows.Designation
		classes     []validate.DeviceClass
	}{"enrollment": {flows.Enrollment, validate.AllClasses()}, "classes": {flows.Authentication, []validate.DeviceClass{"totp"}}} {
		s := loginSettings()
		s.DeviceClasses = change.classes
		b.Flow(t, name, func(f *flows.Flow) { f.Designation = change.designation }, flowtest.Step{Kind: loginModel, Settings: s}, flowtest.Step{Kind: marker})
		b.Browser(name).Get(t).WantContinue(t)
	}
}

// While a login without a name is open somebody signs in in another tab: only they can go on with it.
func TestWithoutANameKeepsWhoWasNamedMeanwhile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	eve := usertest.Add(t, b.Users, "eve", "")
	hers, own := b.add(eve, setupSettings()), b.add(b.user, setupSettings())
	br := b.signing(nil, loginSettings())
	br.Get(t)
	b.Exec(t, `UPDATE flow_plans SET plan = jsonb_set(plan, '{context,pending_user}', to_jsonb($1::int)), version = version + 1`, b.user.ID)
	br.Post(t, object{"webauthn": hers.get(request(t, br.Get(t)))}).Want(t, validate.Component)
	br.Post(t, object{"webauthn": own.get(request(t, br.Get(t)))}).WantContinue(t)
}

func TestRecentlyValidatedByAnyOfTheKeys(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.add(b.user, setupSettings())
	b.Clock.Advance(time.Second)
	second := b.add(b.user, setupSettings())
	s := loginSettings()
	s.LastAuthThreshold = "hours=1"
	slug := "again"
	b.Flow(t, slug, nil, flowtest.Step{Kind: loginModel, Settings: s}, flowtest.Step{Kind: marker})
	br := b.Browser(slug)
	b.Start(t, br, slug, flows.Context{PendingUser: b.user.ID})
	br.Post(t, object{"webauthn": second.get(request(t, br.Get(t)))}).WantContinue(t)
	b.Start(t, br, slug, flows.Context{PendingUser: b.user.ID})
	br.Get(t).WantContinue(t)
	b.Exec(t, `DELETE FROM webauthn_devices WHERE credential_id = $1`, second.id)
	b.Start(t, br, slug, flows.Context{PendingUser: b.user.ID})
	br.Get(t).Want(t, validate.Component)
}

// Choosing among devices happens in the browser; the contract's clients say it all the same, also in one body.
func TestSelection(t *testing.T) {
	t.Parallel()
	b := setup(t)
	k := b.add(b.user, setupSettings())
	br := b.signing(b.user, loginSettings())
	options := request(t, br.Get(t))
	id := uid(b.Count(t, `SELECT id FROM webauthn_devices`))
	choice := object{"device_class": Class, "device_uid": id, "challenge": object{}}
	p := br.Post(t, object{"selected_challenge": choice}).Want(t, validate.Component)
	if request(t, p)["challenge"] != options["challenge"] {
		t.Error("a choice uses the challenge up")
	}
	br.Post(t, object{"selected_challenge": choice, "webauthn": k.get(options)}).WantContinue(t)
}

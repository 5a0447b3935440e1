package sms

import (
	"bytes"
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"countersign/core/user/usertest"
	"countersign/flows"
	"countersign/flows/flowtest"
)

func TestSetUpConforms(t *testing.T) {
	t.Parallel()
	providers := allProviders{}
	flowtest.Stage(t, flowtest.Suite{
		Kinds: func(b *flowtest.Bench) []*flows.Kind {
			return []*flows.Kind{providers.of(t, b).service(b, Limits{Gap: -1, Number: Limit{1000, time.Hour}, User: Limit{1000, time.Hour}}).StageKind()}
		},
		Settings:  func(t testing.TB, b *flowtest.Bench) any { return generic(providers.of(t, b)) },
		Component: Component,
		Prepare: func(t testing.TB, b *flowtest.Bench, _ *flowtest.Browser) flows.Context {
			return flows.Context{PendingUser: usertest.Add(t, b.Users, "ada", "").ID}
		},
		Right: func(t testing.TB, b *flowtest.Bench, br *flowtest.Browser, _ flowtest.Page) map[string]any {
			if p := br.Post(t, map[string]any{"phone_number": numberOne}); p.JSON["response_errors"] != nil {
				t.Fatalf("send: %s", p)
			}
			b.Clock.Advance(time.Second)
			return map[string]any{"code": providers.of(t, b).last(t, numberOne).Code}
		},
		Wrong: map[string]any{"phone_number": "12345"}, WrongField: "phone_number",
		Fields: []flowtest.Field{{Name: "code"}, {Name: "phone_number", Text: true}},
	})
}

// Nobody to set up for: the stage is passed in silence.
func TestSetUpSkipsNobody(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	for _, given := range []flows.Context{{}, {Pretended: "ghost"}} {
		br := b.Browser(setupSlug)
		b.Start(t, br, setupSlug, given)
		br.Follow(t).Want(t, flowtest.Component(markerName))
	}
}

func TestSetUp(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	ada := b.user(t, "ada")
	br := b.start(t, setupSlug, ada)
	if p := br.Get(t).Want(t, Component); p.JSON["phone_number_required"] != true || p.JSON["sent_to"] != nil {
		t.Errorf("first: %s", p)
	}
	if p := br.Post(t, map[string]any{}); p.Code("phone_number") != "required" || !strings.Contains(p.Raw, "phone_number required") {
		t.Errorf("neither number nor code: %s", p)
	}
	if p := br.Post(t, map[string]any{"code": 123456}); p.Code("phone_number") != "required" {
		t.Errorf("a code before a number: %s", p)
	}
	p := br.Post(t, map[string]any{"phone_number": " +44 (0)7700-900 123 "})
	if p.JSON["phone_number_required"] != false || p.JSON["sent_to"] != "••23" || p.JSON["response_errors"] != nil {
		t.Fatalf("number: %s", p)
	}
	if again := br.Get(t); again.Raw != p.Raw {
		t.Errorf("a reload shows %s", again)
	}
	if stored := b.Plan(t, br, setupSlug); bytes.Contains(stored.Raw, []byte("7700900123")) {
		t.Errorf("the plan holds the number: %s", stored.Raw)
	}
	m := b.provider.last(t, numberOne)
	if len(m.Code) != 6 || strings.Trim(m.Code, "0123456789") != "" || !strings.Contains(m.Text, m.Code) || !strings.Contains(m.Text, "@login.test #"+m.Code) {
		t.Errorf("message %+v", m)
	}
	if p := br.Post(t, map[string]any{"code": other(m.Code)}); p.Code("code") != "invalid" || !strings.Contains(p.Raw, "Code does not match") {
		t.Errorf("wrong code: %s", p)
	}
	br.Post(t, map[string]any{"code": m.Code}).WantContinue(t)
	if n := b.Count(t, `SELECT count(*) FROM sms_devices WHERE user_id = $1 AND confirmed AND stage = $2`, ada.ID, b.stage); n != 1 {
		t.Errorf("%d devices", n)
	}
	if n := b.events(t, "model_created"); n != 1 {
		t.Errorf("%d events tell of the device", n)
	}
	b.Clock.Advance(time.Minute)
	b.absent(t, "7700900123", m.Code)

	// The number is taken now, for its owner too, and nothing is sent.
	sent := len(b.provider.sent())
	for _, name := range []string{"ada", "bob"} {
		u := ada
		if name == "bob" {
			u = b.user(t, name)
		}
		p := b.start(t, setupSlug, u).Post(t, map[string]any{"phone_number": "0044 7700 900123"})
		if p.Code("phone_number") != "invalid" || !strings.Contains(p.Raw, `"Invalid phone number"`) {
			t.Errorf("%s: a number that is taken: %s", name, p)
		}
	}
	if len(b.provider.sent()) != sent {
		t.Error("a code was sent to a number that is taken")
	}
}

// absent fails the test if any table holds one of the texts.
func (b *bench) absent(t *testing.T, texts ...string) {
	t.Helper()
	rows, err := b.Direct.Query(t.Context(), `SELECT tablename FROM pg_tables WHERE schemaname = 'public'`)
	if err != nil {
		t.Fatal(err)
	}
	var tables []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		tables = append(tables, name)
	}
	rows.Close()
	for _, table := range tables {
		for _, text := range texts {
			// bytea is shown in hexadecimal digits, so it is looked for in both forms.
			if b.Count(t, `SELECT count(*) FROM "`+table+`" x WHERE x::text LIKE '%' || $1 || '%' OR x::text LIKE '%' || encode($1::bytea, 'hex') || '%'`, text) > 0 {
				t.Errorf("table %s holds %q", table, text)
			}
		}
	}
}

// A code with leading zeros passes as the number that a client makes of it, and as a text (core.md §10 item 17).
func TestCodeWithLeadingZeros(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	b.service.Random = bytes.NewReader(make([]byte, 64)) // draws 000000, over and over
	for i, body := range []string{`{"code": 0}`, `{"code": "000000"}`, `{"code": "000 000"}`} {
		number := numberOne[:len(numberOne)-1] + strconv.Itoa(i)
		br := b.start(t, setupSlug, b.user(t, "u"+strconv.Itoa(i)))
		br.Post(t, map[string]any{"phone_number": number}).Want(t, Component)
		if code := b.provider.last(t, number).Code; code != "000000" {
			t.Fatalf("drew %s", code)
		}
		br.Post(t, body).WantContinue(t)
	}
}

func TestCodeIsForgottenInTime(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	br := b.start(t, setupSlug, b.user(t, "ada"))
	br.Post(t, map[string]any{"phone_number": numberOne}).Want(t, Component)
	first := b.provider.last(t, numberOne).Code
	b.Clock.Advance(codeLife)
	if p := br.Post(t, map[string]any{"code": first}); p.Code("code") != "expired" {
		t.Errorf("after five minutes: %s", p)
	}
	br.Post(t, map[string]any{"phone_number": numberOne}).Want(t, Component)
	second := b.provider.last(t, numberOne).Code
	for range maxFailures {
		if p := br.Post(t, map[string]any{"code": other(second)}); p.Code("code") != "invalid" {
			t.Errorf("wrong: %s", p)
		}
	}
	if p := br.Post(t, map[string]any{"code": second}); p.Code("code") != "expired" {
		t.Errorf("after five failures: %s", p)
	}
	if n := b.Count(t, `SELECT count(*) FROM sms_devices`); n != 0 {
		t.Errorf("%d devices were made", n)
	}
}

func TestBadCodes(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	ada, eve := b.user(t, "ada"), b.user(t, "eve")
	adas, eves := b.start(t, setupSlug, ada), b.start(t, setupSlug, eve)
	adas.Post(t, map[string]any{"phone_number": numberOne}).Want(t, Component)
	eves.Post(t, map[string]any{"phone_number": numberTwo}).Want(t, Component)
	code := b.provider.last(t, numberOne).Code
	wide := strings.Map(func(r rune) rune { return r - '0' + '０' }, code)
	for name, c := range map[string]struct {
		value any
		code  string
	}{
		"empty":        {"", "invalid"},
		"letters":      {"abcdef", "invalid"},
		"full width":   {wide, "invalid"},
		"long":         {strings.Repeat("1", 10_000), "invalid"},
		"half":         {code[:5], "invalid"},
		"a digit more": {code + "0", "invalid"},
		"negative":     {json.RawMessage("-" + "1"), "invalid"},
		"fraction":     {json.RawMessage("1.5"), "invalid"},
		"exponent":     {json.RawMessage("1e5"), "invalid"},
		"huge number":  {json.RawMessage(strings.Repeat("9", 400)), "invalid"},
		"a list":       {[]string{code}, "invalid"},
		"an object":    {map[string]any{"code": code}, "invalid"},
		"true":         {true, "invalid"},
		"null":         {nil, "null"},
		"NUL":          {code + "\x00", "invalid"},
		"another's":    {b.provider.last(t, numberTwo).Code, "invalid"},
	} {
		b.Exec(t, `UPDATE sms_codes SET failures = 0`) // another's code is a guess
		if p := adas.Post(t, map[string]any{"code": c.value}); p.Err != nil || p.Component != Component || p.Code("code") != c.code {
			t.Errorf("%s: %s", name, p)
		}
	}
	if n := b.Count(t, `SELECT count(*) FROM sms_devices`); n != 0 {
		t.Errorf("%d devices were made", n)
	}
	adas.Post(t, map[string]any{"code": code}).WantContinue(t)
}

func TestBadNumbers(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	br := b.start(t, setupSlug, b.user(t, "ada"))
	for _, number := range []string{"07700900123", "+0123456789", "+12", "+1234567890123456", "+44x7700900123", "+４４７７００９００１２３", "<script>", strings.Repeat("+4", 5000), "+", "00"} {
		if p := br.Post(t, map[string]any{"phone_number": number}); p.Code("phone_number") != "invalid" {
			t.Errorf("%.30q: %s", number, p)
		}
	}
	if n := len(b.provider.sent()); n != 0 {
		t.Errorf("%d messages were sent", n)
	}
}

// A provider that refuses is told of at once, to the person in plain words and to administrators in full, without the
// number, the code and the secrets.
func TestProviderRefuses(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	br := b.start(t, setupSlug, b.user(t, "ada"))
	b.provider.mu.Lock()
	b.provider.status, b.provider.body = 400, "cannot send to "+numberOne+" with secret-word"
	b.provider.mu.Unlock()
	p := br.Post(t, map[string]any{"phone_number": numberOne})
	if p.Code("phone_number") != "not_sent" || p.JSON["phone_number_required"] != true {
		t.Errorf("refused: %s", p)
	}
	var context string
	if err := b.Direct.QueryRow(t.Context(), `SELECT context::text FROM events WHERE action = 'configuration_error'`).Scan(&context); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(context, "answered 400: cannot send to") || strings.Contains(context, "7700900123") || strings.Contains(context, "secret-word") {
		t.Errorf("the event says %s", context)
	}
	if p := br.Post(t, map[string]any{"code": b.provider.last(t, numberOne).Code}); p.Continue {
		t.Error("the code of a message that was not sent passes")
	}
	// What was not sent does not use up the number's count.
	b.provider.refuse(0, "")
	for range b.service.Limits.Number.Sends {
		if p := br.Post(t, map[string]any{"phone_number": numberOne}); p.JSON["phone_number_required"] != false {
			t.Fatalf("again: %s", p)
		}
		b.Clock.Advance(b.service.Limits.Gap)
	}
	if p := br.Post(t, map[string]any{"phone_number": numberOne}); p.Code("phone_number") != "not_sent" || !strings.Contains(p.Raw, "Too many codes were sent to this number. Try again in 58 minutes") {
		t.Errorf("one too many: %s", p)
	}
}

// A hanging provider costs the person the time limit and no more.
func TestProviderHangs(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	b.service.SendTimeout = 50 * time.Millisecond
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	b.provider.answer = hang(release)
	br := b.start(t, setupSlug, b.user(t, "ada"))
	began := time.Now()
	if p := br.Post(t, map[string]any{"phone_number": numberOne}); p.Code("phone_number") != "not_sent" {
		t.Errorf("hanging: %s", p)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
	if n := b.events(t, "configuration_error"); n != 1 {
		t.Errorf("%d events", n)
	}
}

// The last free place goes to one of those who ask at once.
func TestLimitHoldsUnderConcurrency(t *testing.T) {
	t.Parallel()
	b := setUp(t, nil)
	ada := b.user(t, "ada")
	b.service.Limits = Limits{Number: Limit{2, time.Hour}, User: Limit{100, time.Hour}, Source: Limit{100, time.Hour}, Gap: time.Nanosecond}
	const racers = 12
	refused := make(chan string, racers)
	for range racers {
		go func() {
			_, text, err := b.service.reserve(context.Background(), "123456", numberOne, ada.ID, "192.0.2.1")
			if err != nil {
				text = err.Error()
			}
			b.Clock.Advance(time.Second)
			refused <- text
		}()
	}
	free := 0
	for range racers {
		if text := <-refused; text == "" {
			free++
		} else if !strings.HasPrefix(text, "Too many") && !strings.HasPrefix(text, "A code is on its way") {
			t.Error(text)
		}
	}
	if free == 0 || free > 2 || b.Count(t, `SELECT count(*) FROM sms_codes`) != free {
		t.Errorf("%d passed", free)
	}
}

func TestVerifyOnly(t *testing.T) {
	t.Parallel()
	b := setUp(t, func(s *Settings) { s.VerifyOnly = true })
	ada := b.user(t, "ada")
	b.enrol(t, ada, numberOne)
	if n := b.Count(t, `SELECT count(*) FROM sms_devices WHERE phone_sealed IS NULL AND octet_length(phone_hash) = 36`); n != 1 {
		t.Error("the number itself is kept")
	}
	// It is never offered: this login needs a device and finds none.
	b.start(t, loginSlug, ada).Get(t).Want(t, flows.ComponentAccessDenied)
	if p := b.start(t, setupSlug, b.user(t, "bob")).Post(t, map[string]any{"phone_number": numberOne}); p.Code("phone_number") != "invalid" {
		t.Errorf("a number that is taken: %s", p)
	}
}

package mobile

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"countersign/authenticators/validate"
	"countersign/core/bus"
	"countersign/core/secret"
	"countersign/flows"
	"countersign/mobile/wire"
)

func testKeeper(t testing.TB) *secret.Keeper {
	t.Helper()
	keeper, err := secret.New("a-key-for-tests-of-at-least-32-characters")
	if err != nil {
		t.Fatal(err)
	}
	return keeper
}

// stageOf stores a stage with settings and gives its key.
func (b *bench) stageOf(s Settings) uuid.UUID {
	b.t.Helper()
	id := uuid.New()
	raw, err := json.Marshal(s)
	if err != nil {
		b.t.Fatal(err)
	}
	b.exec(`INSERT INTO stages (stage_uuid, kind, name, settings) VALUES ($1, 'authenticatormobilestage', $2, $3)`, id, id.String(), raw)
	return id
}

// fetching enrols a phone by a stage, which has no keys and can fetch.
func (b *bench) fetching(owner int, stage uuid.UUID) (device uuid.UUID, token string) {
	b.t.Helper()
	in := b.invited(owner, stage)
	status, body := b.callAt(b.server, "POST", in.Device, wire.ActionEnrol, in.Token, wire.Enrollment{DeviceUID: uuid.NewString(), Info: info().WithFetch()})
	var reply wire.EnrollmentCallback
	if err := json.Unmarshal(body, &reply); status != 200 || err != nil {
		b.t.Fatalf("enrol: %d %s", status, body)
	}
	return uuid.MustParse(in.Device), reply.Token
}

// other is a number of the same length.
func other(number string, n int) string {
	last := (int(number[len(number)-1]-'0') + n) % 10
	return fmt.Sprintf("%s%d", number[:len(number)-1], last)
}

// T1: in a strict mode nobody is let in by an approval that does not carry the number, signed or not.
func TestApprovalWithoutTheNumberIsRefused(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	stage := l.stageOf(Settings{Mode: wire.NumberMatching3, Answer: "number_typed_6"})
	device, token := l.fetching(l.user, stage)
	signed, err := l.signing(l.user, stage, true)
	if err != nil {
		t.Fatal(err)
	}
	x := l.tab()
	r := x.begin("ada", device)
	if len(r.item(device)) != 6 || r.shown(device)["item_mode"] != "number_typed_6" || r.shown(device)["attempts_left"] != 3.0 {
		t.Fatalf("the browser shows %v", r.shown(device))
	}
	for _, item := range []string{wire.ItemAccept, "approve", "", "0", r.item(device)[:5], r.item(device) + "0", " " + r.item(device)[1:]} {
		if status, reply := l.call(device, wire.ActionResponse, token, wire.Response{TxID: l.waiting(device).String(), SelectedItem: item}); status != 400 {
			t.Errorf("%q: %d %s", item, status, reply)
		}
	}
	if left := value[int](l.bench, `SELECT attempts_left FROM mobile_transactions WHERE status = 'wait'`); left != 3 {
		t.Errorf("what is no number cost an attempt: %d left", left)
	}
	x2 := l.tab()
	r = x2.begin("ada", signed.device)
	if status, text := signed.answers(wire.ItemAccept); status != 400 {
		t.Errorf("signed: %d %s", status, text)
	}
	for _, tab := range []*tab{x, x2} {
		if after := tab.send(nil); after.Component != validate.Component {
			t.Errorf("a login went on: %+v", after)
		}
	}
	if n := value[int](l.bench, `SELECT count(*) FROM sessions WHERE user_id IS NOT NULL`); n != 0 {
		t.Errorf("%d sessions are logged in", n)
	}
	held := x2.await(l, signed.device)
	if status, text := signed.answers(r.item(signed.device)); status != 204 {
		t.Errorf("with the number: %d %s", status, text)
	}
	if after := l.got(held); after.Component != flows.ComponentRedirect {
		t.Errorf("with the number: %+v", after)
	}
}

// T13: the number reaches neither the phone nor a push; the code reaches the phone by its own call alone.
func TestWhatIsTypedIsInNoPush(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	for _, mode := range []AnswerMode{"number_typed_2", "number_typed_3", "number_typed_6", "code_shown_6"} {
		owner := string(mode)
		device, token := l.fetching(l.makeUser(owner), l.stageOf(Settings{Mode: wire.NumberMatching3, Answer: mode}))
		l.exec(`UPDATE mobile_devices SET push_address = 'a' WHERE uuid = $1`, device)
		r := l.tab().begin(owner, device)
		job := l.push.jobs[len(l.push.jobs)-1]
		correct := value[string](l.bench, `SELECT correct FROM mobile_transactions WHERE device = $1`, device)
		for _, text := range slices.Collect(maps.Values(job.Message.Data)) {
			if strings.ReplaceAll(text, "-", "") != text { // the id
				continue
			}
			if strings.Contains(text, correct) {
				t.Errorf("%s: the push has %v", mode, job.Message.Data)
			}
		}
		if job.Message.Data["kind"] != string(wire.Wake) || job.Message.Data["items"] != "" ||
			len(correct) == 6 && strings.Contains(job.Message.Body+job.Message.Title, correct) { // shorter ones are in addresses
			t.Errorf("%s: the push is %+v", mode, job.Message)
		}
		status, raw := l.callAt(l.server, http.MethodGet, device.String(), wire.ActionPending, token, nil)
		list, err := wire.ParsePending(raw)
		if status != 200 || err != nil || len(list.Pending) != 1 || list.Pending[0].Mode != wire.Mode(mode) {
			t.Fatalf("%s: %d %s %v", mode, status, raw, err)
		}
		onPhone, onPage := list.Pending[0].Items, r.item(device)
		if wire.Mode(mode).Shows() {
			if !slices.Equal(onPhone, []string{correct}) || onPage != "" {
				t.Errorf("%s: the phone has %v, the page %q", mode, onPhone, onPage)
			}
		} else if len(onPhone) != 0 || onPage != correct {
			t.Errorf("%s: the phone has %v, the page %q", mode, onPhone, onPage)
		}
		page, err := json.Marshal(r)
		if err != nil || wire.Mode(mode).Shows() && strings.Contains(string(page), correct) {
			t.Errorf("%s: the browser is sent the code", mode)
		}
	}
}

// T3: each wrong number takes an attempt and both sides are told, the last one ends the request; one that a page asks anew is
// another number.
func TestWrongNumbersEndATypedRequest(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	for attempts, mode := range map[int]AnswerMode{1: "number_typed_2", 2: "number_typed_3", 5: "number_typed_6"} {
		owner := string(mode)
		device, token := l.fetching(l.makeUser(owner), l.stageOf(Settings{Mode: wire.AcceptDeny, Answer: mode, TypedAttempts: attempts}))
		x := l.tab()
		r := x.begin(owner, device)
		tx := l.waiting(device)
		number := r.item(device)
		var last reply
		for n := 1; n <= attempts; n++ {
			held := x.await(l, device)
			status, raw := l.call(device, wire.ActionResponse, token, wire.Response{TxID: tx.String(), SelectedItem: other(number, n)})
			if got := wire.ParseRefusal(raw); status != 400 || got != (wire.Refusal{Code: wire.WrongNumber, AttemptsLeft: attempts - n}) || !strings.Contains(string(raw), "selected_item") {
				t.Errorf("%s: wrong number %d: %d %s", mode, n, status, raw)
			}
			last = l.got(held)
			if n < attempts && (last.code("mobile") != wire.WrongNumber || last.shown(device)["attempts_left"] != float64(attempts-n) || last.item(device) != number) {
				t.Errorf("%s: wrong number %d: the browser is told %+v", mode, n, last)
			}
		}
		if last.code("mobile") != "denied" || last.shown(device)["attempts_left"] != float64(attempts) || last.item(device) == number && mode != "number_typed_2" {
			t.Errorf("%s: at the end the browser is told %+v", mode, last)
		}
		if status, _ := l.call(device, wire.ActionResponse, token, wire.Response{TxID: tx.String(), SelectedItem: number}); status != 404 {
			t.Errorf("%s: the right number after the end: %d", mode, status)
		}
		if got := value[string](l.bench, `SELECT status FROM mobile_transactions WHERE tx_id = $1`, tx); got != statusWrong {
			t.Errorf("%s: the prompt is %s", mode, got)
		}
		for action, want := range map[string]int{"login_failed": 1, string(actionWrong): attempts - 1} {
			if n := value[int](l.bench, `SELECT count(*) FROM events WHERE action = $1 AND "user"->>'username' = $2 AND context ? 'attempts_left'`, action, owner); n != want {
				t.Errorf("%s: %d events %s, want %d", mode, n, action, want)
			}
		}
	}
	if n := value[int](l.bench, `SELECT count(*) FROM sessions WHERE user_id IS NOT NULL`); n != 0 {
		t.Errorf("%d sessions are logged in", n)
	}
}

// A number that is mistyped can be typed again, and a denial is never an attempt.
func TestMistypedNumberMayBeMended(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	device, token := l.fetching(l.user, l.stageOf(Settings{Mode: wire.NumberMatching3, Answer: "number_typed_3"}))
	x := l.tab()
	r := x.begin("ada", device)
	for n := range 2 {
		if status := l.answer(device, token, other(r.item(device), n+1)); status != 400 {
			t.Fatalf("wrong number: %d", status)
		}
	}
	held := x.await(l, device)
	if after := l.got(held); after.code("mobile") != wire.WrongNumber {
		t.Errorf("a browser that comes late is told %+v", after)
	}
	held = x.await(l, device)
	if status := l.answer(device, token, r.item(device)); status != 204 {
		t.Fatalf("right number: %d", status)
	}
	if after := l.got(held); after.Component != flows.ComponentRedirect {
		t.Errorf("after the right number: %+v", after)
	}
	l.clock.move(time.Hour)
	x = l.tab()
	r = x.begin("ada", device)
	l.answer(device, token, other(r.item(device), 1))
	if status := l.answer(device, token, wire.ItemDeny); status != 204 {
		t.Errorf("denial: %d", status)
	}
	if after := x.send(map[string]any{"mobile": device.String()}); after.Component != flows.ComponentAccessDenied {
		t.Errorf("after the denial: %+v", after)
	}
}

// T3, T5: wrong numbers that come together, on two nodes, take exactly one attempt each, and no more are taken than there are.
func TestParallelWrongNumbersCountOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	memory := &bus.Memory{}
	_, second := b.node(memory.Join())
	for _, attempts := range []int{2, 5} {
		device, token := b.fetching(b.user, b.stageOf(Settings{Answer: "number_typed_6"}))
		tx := uuid.New()
		b.exec(`INSERT INTO mobile_transactions (tx_id, device, user_id, source, mode, items, correct, context, node, created, expires, attempts_left)
			VALUES ($1, $2, $3, '192.0.2.1', 'number_typed_6', '{}', '123456', '{}', $4, $5, $6, $7)`,
			tx, device, b.user, b.service.Bus.Node(), b.clock.now(), b.clock.now().Add(time.Minute), attempts)
		var counted, over atomic.Int32
		left := make([]atomic.Int32, attempts)
		var wg sync.WaitGroup
		for i := range 40 {
			server := b.server
			if i%2 == 1 {
				server = second
			}
			wg.Go(func() {
				body := wire.Response{TxID: tx.String(), SelectedItem: fmt.Sprintf("%06d", i)}
				status, raw, err := request(t.Context(), server.URL+"/"+wire.Path(device.String(), wire.ActionResponse), "POST", token, body)
				switch refusal := wire.ParseRefusal(raw); {
				case err != nil:
					t.Error(err)
				case status == 400 && refusal.Code == wire.WrongNumber && refusal.AttemptsLeft < attempts:
					counted.Add(1)
					left[refusal.AttemptsLeft].Add(1)
				case status == 404:
					over.Add(1)
				default:
					t.Errorf("%d %s", status, raw)
				}
			})
		}
		wg.Wait()
		if int(counted.Load()) != attempts || int(over.Load()) != 40-attempts {
			t.Errorf("%d numbers were compared, want %d; %d refused", counted.Load(), attempts, over.Load())
		}
		for n := range left {
			if left[n].Load() != 1 {
				t.Errorf("%d answers said that %d are left", left[n].Load(), n)
			}
		}
		if got := value[int](b, `SELECT attempts_left FROM mobile_transactions WHERE tx_id = $1 AND status = 'wrong'`, tx); got != 0 {
			t.Errorf("%d attempts are left", got)
		}
		if n := value[int](b, `SELECT count(*) FROM events WHERE context->>'transaction' = $1`, strings.ReplaceAll(tx.String(), "-", "")); n != attempts {
			t.Errorf("%d events, want %d", n, attempts)
		}
	}
}

// A right number among wrong ones that come together lets the login go on, whatever comes after it.
func TestRightNumberAmongParallelOnesWins(t *testing.T) {
	t.Parallel()
	b := setup(t)
	device, token := b.fetching(b.user, b.stageOf(Settings{Answer: "number_typed_2"}))
	tx := uuid.New()
	b.exec(`INSERT INTO mobile_transactions (tx_id, device, user_id, source, mode, items, correct, context, node, created, expires, attempts_left)
		VALUES ($1, $2, $3, '', 'number_typed_2', '{}', '42', '{}', $4, $5, $6, 5)`, tx, device, b.user, b.service.Bus.Node(), b.clock.now(), b.clock.now().Add(time.Minute))
	var right atomic.Int32
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			item := "42"
			if i < 4 {
				item = "17"
			}
			status, _, err := request(t.Context(), b.server.URL+"/"+wire.Path(device.String(), wire.ActionResponse), "POST", token, wire.Response{TxID: tx.String(), SelectedItem: item})
			if err != nil {
				t.Error(err)
			}
			if status == 204 {
				right.Add(1)
			}
		})
	}
	wg.Wait()
	if got := value[string](b, `SELECT status FROM mobile_transactions WHERE tx_id = $1`, tx); got != statusAccept || right.Load() != 1 {
		t.Errorf("the prompt is %s, %d answers were right", got, right.Load())
	}
}

// An app that cannot be asked so is neither enrolled nor asked, is told why, and lets nobody in.
func TestStockPhonesAreNotAskedToType(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	for _, mode := range []AnswerMode{"number_typed_2", "code_shown_6"} {
		stage := l.stageOf(Settings{Mode: wire.NumberMatching3, Answer: mode})
		in := l.invited(l.user, stage)
		status, raw := l.callAt(l.server, "POST", in.Device, wire.ActionEnrol, in.Token, wire.Enrollment{DeviceUID: uuid.NewString(), Info: info()})
		if status != 400 || !strings.Contains(string(raw), `"others"`) {
			t.Errorf("%s: a stock phone enrols: %d %s", mode, status, raw)
		}
		owner := string(mode)
		device, token := l.phone(l.makeUser(owner)) // before the stage asked for more
		l.exec(`UPDATE mobile_devices SET stage = $2 WHERE uuid = $1`, device, stage)
		x := l.tab()
		pushes := len(l.push.jobs)
		r := x.begin(owner, device)
		if r.code("mobile") != "unsupported" || len(l.push.jobs) != pushes {
			t.Errorf("%s: the browser is told %+v, %d pushes", mode, r, len(l.push.jobs)-pushes)
		}
		if r := x.send(map[string]any{"mobile": device.String()}); r.code("mobile") != "unsupported" {
			t.Errorf("%s: without a choice: %+v", mode, r)
		}
		if status, raw := l.call(device, wire.ActionCheckIn, token, info().WithFetch()); status != 204 {
			t.Fatalf("check in: %d %s", status, raw)
		}
		if r := x.send(choose(device)); r.code("mobile") != "" || len(l.push.jobs) != pushes+1 {
			t.Errorf("%s: after the update: %+v", mode, r)
		}
	}
}

// show is what a phone with a stage of codes that it shows is asked, and its code.
func (l *logins) show(name string, s Settings) (x *tab, p *hand, code string) {
	l.t.Helper()
	s.Mode, s.Answer = wire.NumberMatching3, "code_shown_6"
	p, err := l.signing(l.makeUser(name), l.stageOf(s), true)
	if err != nil {
		l.t.Fatal(err)
	}
	x = l.tab()
	if r := x.begin(name, p.device); r.shown(p.device)["item_mode"] != "code_shown_6" || r.shown(p.device)["approved"] != false {
		l.t.Fatalf("%+v", r)
	}
	return x, p, value[string](l.bench, `SELECT items[1] FROM mobile_transactions WHERE device = $1`, p.device)
}

func typed(device uuid.UUID, code string) map[string]any {
	return map[string]any{"mobile": device.String(), "code": code}
}

// T1: where the phone shows a code both are needed, the phone's approval and the code in the browser, in either order.
func TestShownCodeNeedsApprovalAndCode(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	sessions := func(name string) int {
		return value[int](l.bench, `SELECT count(*) FROM sessions s JOIN users u ON u.id = s.user_id WHERE u.username = $1`, name)
	}

	x, p, code := l.show("approved first", Settings{})
	held := x.await(l, p.device)
	if status, text := p.answers(code); status != 204 {
		t.Fatalf("approval: %d %s", status, text)
	}
	if r := l.got(held); r.Component != validate.Component || r.shown(p.device)["approved"] != true || sessions("approved first") != 0 {
		t.Errorf("after the approval alone: %+v", r)
	}
	if status, text := p.answers(code); status != 404 {
		t.Errorf("a second approval: %d %s", status, text)
	}
	if r := x.send(typed(p.device, code)); r.Component != flows.ComponentRedirect || sessions("approved first") != 1 {
		t.Errorf("after the code: %+v", r)
	}

	x, p, code = l.show("typed first", Settings{})
	held = x.held(l, typed(p.device, code))
	if got := value[string](l.bench, `SELECT status FROM mobile_transactions WHERE device = $1`, p.device); got != statusWait || sessions("typed first") != 0 {
		t.Errorf("after the code alone the prompt is %s", got)
	}
	if status, text := p.answers(code); status != 204 {
		t.Fatalf("approval: %d %s", status, text)
	}
	if r := l.got(held); r.Component != flows.ComponentRedirect || sessions("typed first") != 1 {
		t.Errorf("after both: %+v", r)
	}

	// The phone says no after the code was typed, or after it said yes.
	x, p, code = l.show("denied", Settings{})
	held = x.held(l, typed(p.device, code))
	if status, text := p.answers(wire.ItemDeny); status != 204 {
		t.Fatalf("denial: %d %s", status, text)
	}
	if r := l.got(held); r.Component != flows.ComponentAccessDenied || sessions("denied") != 0 {
		t.Errorf("after the denial: %+v", r)
	}
	x, p, code = l.show("regretted", Settings{})
	for _, item := range []string{code, wire.ItemDeny} {
		if status, text := p.answers(item); status != 204 {
			t.Fatalf("%s: %d %s", item, status, text)
		}
	}
	if r := x.send(typed(p.device, code)); r.Component != flows.ComponentAccessDenied || sessions("regretted") != 0 {
		t.Errorf("after the regret: %+v", r)
	}
}

// T3: wrong codes in the browser count like wrong numbers on the phone, and end the request.
func TestWrongCodesEndTheRequest(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	x, p, code := l.show("ann", Settings{TypedAttempts: 2})
	if status, text := p.answers(code); status != 204 {
		t.Fatalf("approval: %d %s", status, text)
	}
	for _, none := range []string{"", "12345", "1234567", "12345x"} {
		if r := x.send(typed(p.device, none)); r.Component != validate.Component {
			t.Errorf("%q: %+v", none, r)
		}
	}
	if r := x.send(typed(p.device, other(code, 1))); r.code("code") != wire.WrongNumber || r.shown(p.device)["attempts_left"] != 1.0 {
		t.Errorf("a wrong code: %+v", r)
	}
	if r := x.send(map[string]any{"code": other(code, 2)}); r.code("mobile") != "denied" {
		t.Errorf("the last wrong code, without the device's name: %+v", r)
	}
	if r := x.send(typed(p.device, code)); r.Component != validate.Component {
		t.Errorf("the right code after the end: %+v", r)
	}
	for action, want := range map[string]int{"login_failed": 1, string(actionWrongCode): 1} {
		if n := value[int](l.bench, `SELECT count(*) FROM events WHERE action = $1 AND context->>'username' = 'ann'`, action); n != want {
			t.Errorf("%d events %s, want %d", n, action, want)
		}
	}
	if n := value[int](l.bench, `SELECT count(*) FROM sessions WHERE user_id IS NOT NULL`); n != 0 {
		t.Errorf("%d sessions are logged in", n)
	}
}

// T3, T5: wrong codes from several tabs, on two nodes, count one attempt each; the answer that a faster one overtakes does not
// count twice.
func TestParallelWrongCodesCountOnce(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	memory := &bus.Memory{}
	other1, _ := l.node(memory.Join())
	_, site := l.serve(other1)
	x, p, code := l.show("ann", Settings{TypedAttempts: 5})
	there := *x
	there.site = site
	var wrong, denied atomic.Int32
	var wg sync.WaitGroup
	for i := range 4 {
		from := x
		if i%2 == 1 {
			from = &there
		}
		wg.Go(func() {
			switch r := from.send(typed(p.device, other(code, i+1))); {
			case r.code("code") == wire.WrongNumber:
				wrong.Add(1)
			case r.code("mobile") == "denied":
				denied.Add(1)
			}
		})
	}
	wg.Wait()
	left := value[int](l.bench, `SELECT attempts_left FROM mobile_transactions WHERE device = $1`, p.device)
	events := value[int](l.bench, `SELECT count(*) FROM events WHERE action = $1`, string(actionWrongCode))
	if left != 1 || events != 4 {
		t.Errorf("%d attempts are left of 5 after four wrong codes, with %d events (%d told)", left, events, wrong.Load())
	}
}

// T6, T21: the code of one login is of no use in another, of the same user or of another one.
func TestCodeIsOfTheLoginThatAsked(t *testing.T) {
	t.Parallel()
	l := setupLogins(t)
	x, p, code := l.show("ann", Settings{})
	y, q, theirs := l.show("eve", Settings{})
	if r := y.send(typed(q.device, code)); code != theirs && r.code("code") != wire.WrongNumber {
		t.Errorf("another's code: %+v", r)
	}
	if r := y.send(typed(p.device, code)); r.Component != validate.Component {
		t.Errorf("for another's phone: %+v", r)
	}
	z := l.tab()
	z.send(map[string]any{"uid_field": "ann"})
	if r := z.send(typed(p.device, code)); r.code("code") != "invalid" {
		t.Errorf("in a browser that did not ask: %+v", r)
	}
	if left := value[int](l.bench, `SELECT attempts_left FROM mobile_transactions WHERE device = $1`, p.device); left != defaultAttempts {
		t.Errorf("others used up the owner's attempts: %d left", left)
	}
	if status, text := p.answers(code); status != 204 {
		t.Fatalf("approval: %d %s", status, text)
	}
	if r := x.send(typed(p.device, code)); r.Component != flows.ComponentRedirect {
		t.Errorf("in the browser that asked: %+v", r)
	}
}

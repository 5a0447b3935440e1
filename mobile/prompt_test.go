package mobile

import (
	"crypto/rand"
	"encoding/json"
	"math"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"countersign/core/bus"
	"countersign/mobile/wire"
	"countersign/push"
)

// T5: an answer is accepted once, also when a hundred identical ones come together, on two nodes.
func TestAnswerIsAcceptedOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	memory := &bus.Memory{}
	_, second := b.node(memory.Join())
	device, token := b.phone(b.user)
	tx := b.ask(device, b.user, b.service.Bus.Node())
	body := wire.Response{TxID: tx.String(), SelectedItem: "22"}
	var accepted, refused atomic.Int32
	var wg sync.WaitGroup
	for i := range 100 {
		server := b.server
		if i%2 == 1 {
			server = second
		}
		wg.Go(func() {
			status, reply, err := request(t.Context(), server.URL+"/"+wire.Path(device.String(), wire.ActionResponse), "POST", token, body)
			switch {
			case err != nil:
				t.Error(err)
			case status == 204:
				accepted.Add(1)
			case status == 404:
				refused.Add(1)
			default:
				t.Errorf("%d %s", status, reply)
			}
		})
	}
	wg.Wait()
	if accepted.Load() != 1 || refused.Load() != 99 {
		t.Errorf("%d accepted, %d refused", accepted.Load(), refused.Load())
	}
	if n := value[int](b, `SELECT count(*) FROM events WHERE action = $1`, string(actionApproved)); n != 1 {
		t.Errorf("%d events tell of the approval, want 1", n)
	}
}

func TestAnswerDecides(t *testing.T) {
	t.Parallel()
	b := setup(t)
	device, token := b.phone(b.user)
	for _, c := range []struct{ item, status, action string }{
		{"22", statusAccept, string(actionApproved)},
		{"11", statusWrong, "login_failed"},
		{"deny", statusDeny, "login_failed"},
	} {
		tx := b.ask(device, b.user, b.service.Bus.Node())
		wake, cancel := b.service.waiters.subscribe(tx, false)
		status, reply := b.call(device, wire.ActionResponse, token, wire.Response{TxID: tx.String(), SelectedItem: c.item})
		if status != 204 {
			t.Errorf("%s: %d %s", c.item, status, reply)
		}
		select {
		case <-wake:
		case <-time.After(5 * time.Second):
			t.Errorf("%s: nobody was woken", c.item)
		}
		cancel()
		if got := value[string](b, `SELECT status FROM mobile_transactions WHERE tx_id = $1`, tx); got != c.status {
			t.Errorf("%s: %s, want %s", c.item, got, c.status)
		}
		if got := value[string](b, `SELECT action FROM events WHERE context->>'transaction' = $1 AND "user"->>'username' = 'ada'`, strings.ReplaceAll(tx.String(), "-", "")); got != c.action {
			t.Errorf("%s: event %s, want %s", c.item, got, c.action)
		}
		// T3, flaw 4: what was decided stays so.
		for _, again := range []string{"22", "33", "deny"} {
			if status, _ := b.call(device, wire.ActionResponse, token, wire.Response{TxID: tx.String(), SelectedItem: again}); status != 404 {
				t.Errorf("%s, then %s: %d", c.item, again, status)
			}
		}
	}
}

// An item that is none of the prompt's is a mistake of the program, not a choice of the person.
func TestAnswerMustBeAnItem(t *testing.T) {
	t.Parallel()
	b := setup(t)
	device, token := b.phone(b.user)
	tx := b.ask(device, b.user, b.service.Bus.Node())
	for _, item := range []string{"44", "accept", "２２", "DENY", "2"} {
		status, reply := b.call(device, wire.ActionResponse, token, wire.Response{TxID: tx.String(), SelectedItem: item})
		if status != 400 || !strings.Contains(string(reply), "selected_item") {
			t.Errorf("%q: %d %s", item, status, reply)
		}
	}
}

// T4, flaw 4: an answer after the expiry is refused, though all else is right; likewise one to a superseded prompt.
func TestAnswerComesInTime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	device, token := b.phone(b.user)
	tx := b.ask(device, b.user, b.service.Bus.Node())
	b.clock.move(time.Minute)
	if status, reply := b.call(device, wire.ActionResponse, token, wire.Response{TxID: tx.String(), SelectedItem: "22"}); status != 404 {
		t.Errorf("at the expiry: %d %s", status, reply)
	}
	b.exec(`UPDATE mobile_transactions SET status = 'superseded' WHERE tx_id = $1`, tx)
	newer := b.ask(device, b.user, b.service.Bus.Node())
	if status, _ := b.call(device, wire.ActionResponse, token, wire.Response{TxID: tx.String(), SelectedItem: "22"}); status != 404 {
		t.Errorf("superseded: %d", status)
	}
	if status, _ := b.call(device, wire.ActionResponse, token, wire.Response{TxID: newer.String(), SelectedItem: "22"}); status != 204 {
		t.Errorf("the newer one: %d", status)
	}
}

// T6: ids swapped between two live prompts of two users are refused in every combination.
func TestAnswerIsTheOwnersOnly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	eve := b.makeUser("eve")
	type party struct {
		device uuid.UUID
		token  string
		tx     uuid.UUID
	}
	parties := []party{}
	for _, owner := range []int{b.user, eve} {
		device, token := b.phone(owner)
		parties = append(parties, party{device, token, b.ask(device, owner, b.service.Bus.Node())})
	}
	for i, device := range parties {
		for j, token := range parties {
			for k, tx := range parties {
				if i == j && j == k {
					continue
				}
				status, _ := b.call(device.device, wire.ActionResponse, token.token, wire.Response{TxID: tx.tx.String(), SelectedItem: "22"})
				if status != 404 {
					t.Errorf("device %d, token %d, prompt %d: %d", i, j, k, status)
				}
			}
		}
	}
	if n := value[int](b, `SELECT count(*) FROM mobile_transactions WHERE status = 'wait'`); n != 2 {
		t.Errorf("%d prompts still wait, want both", n)
	}
}

// T11: a phone that is removed while it is asked answers 403 at once.
func TestRemovedPhoneCannotAnswer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	device, token := b.phone(b.user)
	tx := b.ask(device, b.user, b.service.Bus.Node())
	b.exec(`DELETE FROM mobile_devices WHERE uuid = $1`, device)
	if status, reply := b.call(device, wire.ActionResponse, token, wire.Response{TxID: tx.String(), SelectedItem: "22"}); status != 403 {
		t.Errorf("%d %s", status, reply)
	}
}

func TestPendingShowsContextButNotTheAnswer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	device, token := b.phone(b.user)
	tx := b.ask(device, b.user, b.service.Bus.Node())
	status, reply := b.callAt(b.server, http.MethodGet, device.String(), wire.ActionPending, token, nil)
	got, err := wire.ParsePending(reply)
	if status != 200 || err != nil || len(got.Pending) != 1 || got.Pending[0].TxID != tx.String() || got.Pending[0].Context.Host != "login.example" {
		t.Fatalf("%d %s %v", status, reply, err)
	}
	told := strings.ReplaceAll(string(reply), tx.String(), "") // which may spell the name by chance
	if strings.Contains(told, "correct") || strings.Contains(told, "ada") {
		t.Errorf("the reply tells too much: %s", reply)
	}
	b.clock.move(time.Minute)
	_, reply = b.callAt(b.server, http.MethodGet, device.String(), wire.ActionPending, token, nil)
	if got, err := wire.ParsePending(reply); err != nil || len(got.Pending) != 0 {
		t.Errorf("after the expiry: %s %v", reply, err)
	}
}

// The answer wakes the node that waits, also when it comes in on another.
func TestAnswerWakesTheOtherNode(t *testing.T) {
	t.Parallel()
	b := setup(t)
	memory := &bus.Memory{}
	waits, _ := b.node(memory.Join())
	_, answers := b.node(memory.Join())
	device, token := b.phone(b.user)
	tx := b.ask(device, b.user, waits.Bus.Node())
	wake, cancel := waits.waiters.subscribe(tx, false)
	defer cancel()
	status, reply := b.callAt(answers, http.MethodPost, device.String(), wire.ActionResponse, token, wire.Response{TxID: tx.String(), SelectedItem: "22"})
	if status != 204 {
		t.Fatalf("%d %s", status, reply)
	}
	select {
	case <-wake:
	case <-time.After(5 * time.Second):
		t.Error("the node that waits was not woken")
	}
}

// A browser that comes back on another node moves the prompt there before it reads.
func TestStandMovesThePromptToItsNode(t *testing.T) {
	t.Parallel()
	b := setup(t)
	device, _ := b.phone(b.user)
	tx := b.ask(device, b.user, uuid.New()) // a node that is gone
	st, err := b.service.stand(t.Context(), b.pool, tx)
	if err != nil || st.status != statusWait {
		t.Fatalf("%v %v", st, err)
	}
	if got := value[uuid.UUID](b, `SELECT node FROM mobile_transactions WHERE tx_id = $1`, tx); got != b.service.Bus.Node() {
		t.Errorf("the prompt still names %s", got)
	}
}

// A push that failed is noted and told; a dead address is dropped, unless the phone has told a new one meanwhile.
func TestFailedPushIsToldAndDeadAddressDropped(t *testing.T) {
	t.Parallel()
	b := setup(t)
	device, _ := b.phone(b.user)
	b.exec(`UPDATE mobile_devices SET push_address = 'old' WHERE uuid = $1`, device)
	tx := b.ask(device, b.user, b.service.Bus.Node())
	wake, cancel := b.service.waiters.subscribe(tx, false)
	defer cancel()
	l := leg{tx: tx, device: device, node: b.service.Bus.Node()}
	b.service.undelivered(l, "older", push.Report{State: push.Dead, Reason: push.Unregistered, Final: true})
	if got := value[*string](b, `SELECT push_address FROM mobile_devices WHERE uuid = $1`, device); got == nil {
		t.Error("a newer address was dropped for an older one's sake")
	}
	b.service.undelivered(l, "old", push.Report{State: push.Dead, Reason: push.Unregistered, Final: true})
	if got := value[*string](b, `SELECT push_address FROM mobile_devices WHERE uuid = $1`, device); got != nil {
		t.Error("the dead address is still there")
	}
	if got := value[string](b, `SELECT failure FROM mobile_transactions WHERE tx_id = $1`, tx); got != "unregistered" {
		t.Errorf("failure %q", got)
	}
	select {
	case <-wake:
	default:
		t.Error("nobody was told")
	}
}

// T2, flaw 12: items are distinct, cover the whole range, and no place and no number is favoured.
func TestDrawIsUnbiased(t *testing.T) {
	t.Parallel()
	const rounds = 100_000
	var place [wire.Numbers]int
	digit := map[string]int{}
	for range rounds {
		items, correct, err := draw(rand.Reader, wire.NumberMatching2)
		if err != nil {
			t.Fatal(err)
		}
		if len(items) != wire.Numbers || items[0] == items[1] || items[1] == items[2] || items[0] == items[2] {
			t.Fatalf("items %v", items)
		}
		for i, item := range items {
			if item == correct {
				place[i]++
			}
		}
		digit[correct]++
	}
	if len(digit) != 100 {
		t.Errorf("%d numbers were ever right, want 100", len(digit))
	}
	// 99.99 % quantiles of chi-square: 18.4 for 2 degrees of freedom, 159 for 99.
	if x := chiSquare(place[:], rounds/wire.Numbers); x > 18.4 {
		t.Errorf("places %v: chi-square %.1f", place, x)
	}
	counts := make([]int, 0, len(digit))
	for _, n := range digit {
		counts = append(counts, n)
	}
	if x := chiSquare(counts, rounds/100); x > 159 {
		t.Errorf("numbers: chi-square %.1f", x)
	}
}

// T2: what is typed covers its whole range, with leading zeros, and no number and no digit at any place is favoured, over a
// million codes of six digits.
func TestTypedNumbersAreUniform(t *testing.T) {
	t.Parallel()
	const buckets = 100
	random := mathrand.NewChaCha8([32]byte{1}) // a stream that is the same in every run
	for _, mode := range []wire.Mode{wire.NumberTyped2, wire.NumberTyped3, wire.NumberTyped6, wire.CodeShown6} {
		digits, rounds := mode.Digits(), 100_000
		if digits == 6 {
			rounds = 1_000_000
		}
		places := make([][10]int, digits)
		var ranges [buckets]int
		limit := int(math.Pow10(digits))
		for range rounds {
			items, code, err := draw(random, mode)
			if err != nil {
				t.Fatal(err)
			}
			if !mode.Fits(code) || mode.Types() && len(items) != 0 || mode.Shows() && !slices.Equal(items, []string{code}) {
				t.Fatalf("%s: %v %q", mode, items, code)
			}
			n, err := strconv.Atoi(code)
			if err != nil {
				t.Fatal(err)
			}
			ranges[n*buckets/limit]++
			for i := range digits {
				places[i][code[i]-'0']++
			}
		}
		// 99.99 % quantiles of chi-square: 33.7 for 9 degrees of freedom, 159 for 99.
		for i, counts := range places {
			if x := chiSquare(counts[:], float64(rounds)/10); x > 33.7 {
				t.Errorf("%s: digit %d: chi-square %.1f", mode, i, x)
			}
		}
		if x := chiSquare(ranges[:], float64(rounds)/buckets); x > 159 {
			t.Errorf("%s: chi-square %.1f", mode, x)
		}
	}
	if New(Options{Bus: bus.NewMemory(), Keeper: testKeeper(t)}).Random != rand.Reader {
		t.Error("numbers are not drawn by the system's generator")
	}
}

func chiSquare(counts []int, expected float64) float64 {
	x := 0.0
	for _, n := range counts {
		x += math.Pow(float64(n)-expected, 2) / expected
	}
	return x
}

// T13: a push holds no user name, and not which item is right; one to a phone that can fetch holds no item at all.
func TestPushSaysNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	address, owner := "an-address", b.makeUser("lovelace") // not to be found in a UUID
	p := prompt{id: uuid.New(), mode: wire.NumberMatching2, items: []string{"11", "22", "33"}, correct: "22", expires: b.clock.now().Add(time.Minute)}
	for _, canFetch := range []bool{true, false} {
		job := b.service.job(&target{device: uuid.New(), userID: owner, name: "Ada's phone", channel: "fcm", address: &address, canFetch: canFetch}, p, "Brand")
		raw, err := json.Marshal(job.Message)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"lovelace", "Ada", "correct"} {
			if strings.Contains(string(raw), word) {
				t.Errorf("the push says %q: %s", word, raw)
			}
		}
		got, err := wire.ParsePush(job.Message.Data)
		if err != nil || got.TxID != p.id.String() {
			t.Errorf("%v %v", got, err)
		}
		allowed := map[string]bool{"v": true, "kind": true, "tx_id": true, "items": !canFetch, "mode": !canFetch}
		for key := range job.Message.Data {
			if !allowed[key] {
				t.Errorf("can fetch %v: key %s", canFetch, key)
			}
		}
		if !job.Deadline.Equal(p.expires) {
			t.Errorf("deadline %s", job.Deadline)
		}
	}
}

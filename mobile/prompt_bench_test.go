package mobile

import (
	"testing"

	"github.com/google/uuid"

	"countersign/mobile/wire"
)

// One answer of a phone: check of the token, decision, event, commit.
func BenchmarkAnswer(b *testing.B) {
	x := setup(b)
	device, token := x.phone(x.user)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		tx := x.ask(device, x.user, x.service.Bus.Node())
		b.StartTimer()
		err := x.service.decide(b.Context(), token, device, wire.Response{TxID: tx.String(), SelectedItem: "22"}, byToken)
		if err != nil {
			b.Fatal(err)
		}
	}
}

// What opening a prompt reads, for a user with a history at an address with a longer one.
func BenchmarkAim(b *testing.B) {
	x := setup(b)
	device, _ := x.phone(x.user)
	other := x.makeUser("babbage")
	for owner, n := range map[int]int{x.user: 50, other: 5000} {
		x.exec(`INSERT INTO mobile_transactions (tx_id, device, user_id, source, status, mode, items, correct, context, node, created, expires, ring)
			SELECT gen_random_uuid(), $1, $2, '192.0.2.1', 'accept', 'number_matching_3', '{111}', '111', '{}', $1, now(), now(), n FROM generate_series(1, $3) n`,
			device, owner, n)
	}
	x.exec(`ANALYZE mobile_transactions`)
	b.ReportAllocs()
	for b.Loop() {
		a := &aiming{device: device, source: "192.0.2.1"}
		if err := a.scan(x.pool.QueryRow(b.Context(), aimSQL, a.args()...)); err != nil || a.target == nil || !a.target.known {
			b.Fatal(a.target, err)
		}
	}
}

// Waking one of many who wait.
func BenchmarkWake(b *testing.B) {
	w := newWaiters()
	for range 10_000 {
		_, cancel := w.subscribe(uuid.New(), false)
		defer cancel()
	}
	id := uuid.New()
	wake, cancel := w.subscribe(id, false)
	defer cancel()
	b.ReportAllocs()
	for b.Loop() {
		w.wake(id)
		<-wake
	}
}

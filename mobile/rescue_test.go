package mobile

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"countersign/push"
)

// outbox gives what is dispatched to whoever reads it.
type outbox chan push.Job

func (o outbox) Dispatch(j push.Job) { o <- j }
func (o outbox) Cancel(string)       {}

// A node that dies before it has sent a push takes it along; the node to which the browser comes back sends it.
func TestPushOfADeadNodeIsSentByTheNext(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sent := make(outbox, 1)
	b.service.Push = sent
	device, _ := b.phone(b.user)
	b.exec(`UPDATE mobile_devices SET push_channel = 'fcm', push_address = 'address' WHERE uuid = $1`, device)
	tx := b.ask(device, b.user, uuid.New())
	if _, err := b.service.stand(t.Context(), b.pool, tx); err != nil {
		t.Fatal(err)
	}
	select {
	case j := <-sent:
		if j.ID != tx.String() || j.Channel != "fcm" || j.Message.Address != "address" || j.Message.CollapseKey != device.String() ||
			!j.Deadline.Equal(b.clock.now().Add(time.Minute)) || j.Message.Data["tx_id"] != tx.String() {
			t.Errorf("%+v", j)
		}
	case <-time.After(5 * rescueAfter):
		t.Fatal("the push was never sent")
	}
}

// What was heard of, ended or is over is not sent again.
func TestOnlyUnheardPushesAreSentAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	device, _ := b.phone(b.user)
	for _, set := range []string{
		"accepted = now()", "fetched = now()", "displayed = now()", "failure = 'timeout'", "status = 'accept'", "status = 'superseded'", "expires = created",
	} {
		tx := b.ask(device, b.user, uuid.New())
		b.exec(`UPDATE mobile_transactions SET `+set+` WHERE tx_id = $1`, tx)
		if n, err := b.service.pushAgain(t.Context(), []uuid.UUID{tx}); n != 0 || err != nil {
			t.Errorf("%s: %d sent, %v", set, n, err)
		}
		b.exec(`DELETE FROM mobile_transactions`)
	}
	b.ask(device, b.user, uuid.New()) // not asked about
	if n, err := b.service.pushAgain(t.Context(), []uuid.UUID{uuid.New()}); n != 0 || err != nil {
		t.Errorf("another's: %d sent, %v", n, err)
	}
	if len(b.push.jobs) != 0 {
		t.Errorf("%d pushes", len(b.push.jobs))
	}
}

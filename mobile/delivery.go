package mobile

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/api"
	"countersign/core/db"
	"countersign/core/fault"
	"countersign/core/resource"
	"countersign/mobile/wire"
	"countersign/push"
)

// Delivery is how far a prompt came on its way to the phone, as the page that waits for it hears.
type Delivery string

// The deliveries, in their order: a later one says more.
const (
	DeliverySent      Delivery = "sent"      // on its way
	DeliveryFailed    Delivery = "failed"    // it could not be pushed
	DeliveryAccepted  Delivery = "accepted"  // the push service has it
	DeliveryFetched   Delivery = "fetched"   // the phone has it
	DeliveryDisplayed Delivery = "displayed" // the phone shows it
)

// Enum lists the deliveries in their order.
func (Delivery) Enum() []string {
	return []string{string(DeliverySent), string(DeliveryFailed), string(DeliveryAccepted), string(DeliveryFetched), string(DeliveryDisplayed)}
}

// rank is the place in the order; "" is before all.
func (d Delivery) rank() int {
	switch d {
	case DeliverySent:
		return 1
	case DeliveryFailed:
		return 2
	case DeliveryAccepted:
		return 3
	case DeliveryFetched:
		return 4
	case DeliveryDisplayed:
		return 5
	}
	return 0
}

// later is the one that says more.
func (d Delivery) later(other Delivery) Delivery {
	if other.rank() > d.rank() {
		return other
	}
	return d
}

// deliverySQL is the delivery of a row of mobile_transactions.
const deliverySQL = `CASE WHEN displayed IS NOT NULL THEN 'displayed' WHEN fetched IS NOT NULL THEN 'fetched' WHEN accepted IS NOT NULL THEN 'accepted'
	WHEN failure IS NOT NULL THEN 'failed' ELSE 'sent' END`

// deliveryTopic carries deliveries to the node whose browser waits: a prompt and its delivery, with a space between.
const deliveryTopic = "mobile delivery"

// leg is a prompt of which something is to be told on its way.
type leg struct {
	tx      uuid.UUID
	device  uuid.UUID
	name    string // of the device, where it is known
	created time.Time
	node    uuid.UUID // of the browser that waits
	follows bool      // its page wants to hear
}

// came says that a prompt came as far as d, by which key of the phone's, if by one: to the metrics, the record, and the page.
func (s *Service) came(l leg, d Delivery, key string) {
	at := s.Now()
	s.metrics.stage(string(d), "", at.Sub(l.created))
	s.record.note(entry{leg: l, stage: string(d), key: key, at: at})
	switch {
	case l.node == s.Bus.Node():
		s.waiters.came(l.tx, d)
	case l.follows:
		s.Bus.Notify(l.node, deliveryTopic, l.tx.String()+" "+string(d))
	}
}

// heardDelivery is came on another node.
func (s *Service) heardDelivery(payload string) {
	text, d, _ := strings.Cut(payload, " ")
	if tx, err := uuid.Parse(text); err == nil && Delivery(d).rank() > 0 {
		s.waiters.came(tx, Delivery(d))
	}
}

// fetched tells of the prompts that a phone was given for the first time.
func (s *Service) fetched(device uuid.UUID, key string, legs []leg) {
	for _, l := range legs {
		l.device = device
		s.came(l, DeliveryFetched, key)
	}
}

// display notes that the phone shows a prompt. Errors: as authenticate, Invalid, NotFound for one that does not wait.
func (s *Service) display(ctx context.Context, r *api.Request, in wire.Displayed) (api.None, error) {
	c, err := s.authenticate(ctx, r)
	if err != nil {
		return api.None{}, err
	}
	tx, err := uuid.Parse(in.TxID)
	if err != nil {
		return api.None{}, fault.Field("tx_id", "invalid", "Must be a valid UUID.")
	}
	// The first receipt counts; a second is no mistake.
	var first bool
	l := leg{tx: tx, device: c.device}
	err = s.Pool.QueryRow(ctx, `UPDATE mobile_transactions x SET displayed = coalesce(x.displayed, $3)
		FROM (SELECT tx_id, displayed IS NULL AS first FROM mobile_transactions WHERE tx_id = $1 AND device = $2 AND status = 'wait' AND expires > $3 FOR UPDATE) o
		WHERE x.tx_id = o.tx_id RETURNING o.first, x.node, x.follows, x.created`, tx, c.device, s.Now()).Scan(&first, &l.node, &l.follows, &l.created)
	if err != nil {
		return api.None{}, db.Fault(err)
	}
	if first {
		s.came(l, DeliveryDisplayed, c.key.Thumbprint)
	}
	return api.None{}, nil
}

// pushed takes the dispatcher's report of a prompt's push.
func (s *Service) pushed(l leg, address string, r push.Report) {
	if r.State == push.Accepted {
		s.came(l, DeliveryAccepted, "")
		return
	}
	s.metrics.stage(string(DeliveryFailed), string(r.Reason), s.Now().Sub(l.created))
	go s.undelivered(l, address, r)
}

// Passage is a prompt on its way, for administrators: when it came how far.
type Passage struct {
	TxID      uuid.UUID  `json:"tx_id"`
	Status    string     `json:"status" doc:"wait, accept, deny, wrong, superseded or expired."`
	Delivery  Delivery   `json:"delivery"`
	Mode      wire.Mode  `json:"mode"`
	Failure   *string    `json:"failure" doc:"Why the push could not be delivered, if so."`
	Signed    string     `json:"signed" doc:"By what the answer is authenticated: bearer, possession or user_verification."`
	Key       *string    `json:"key" doc:"Thumbprint of the key that signed the answer."`
	Created   time.Time  `json:"created"`
	Accepted  *time.Time `json:"accepted" doc:"When the push service took the push."`
	Fetched   *time.Time `json:"fetched" doc:"When the phone was given the prompt."`
	Displayed *time.Time `json:"displayed" doc:"When the phone said that it shows the prompt."`
	Answered  *time.Time `json:"answered"`
	Released  *time.Time `json:"released" doc:"When the login went on."`
	Expires   time.Time  `json:"expires"`
}

// SchemaName is the component's name.
func (Passage) SchemaName() string { return "MobileDelivery" }

// maxPassages is how many prompts of a device are listed, the newest first.
const maxPassages = 50

// passages lists the latest prompts of a device.
func passages(ctx context.Context, c *resource.Call[Device], _ api.None) ([]Passage, error) {
	rows, err := c.Tx.Query(ctx, `SELECT tx_id, status, `+deliverySQL+`, mode, failure, signed, key, created, accepted, fetched, displayed, answered, released, expires
		FROM mobile_transactions WHERE user_id = $1 AND device = $2 ORDER BY created DESC LIMIT $3`, c.Row.UserID, c.Row.ID, maxPassages)
	if err != nil {
		return nil, fmt.Errorf("list deliveries: %w", db.Fault(err))
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Passage])
	if err != nil {
		return nil, fmt.Errorf("list deliveries: %w", db.Fault(err))
	}
	return append([]Passage{}, out...), nil
}

package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// pair are the connections of one login at a time: a browser's and a phone's.
type pair struct {
	browser, phone *conn
	body           []byte
}

func (w *world) pair() (*pair, error) {
	b, err := dial(w.addr)
	if err != nil {
		return nil, err
	}
	p, err := dial(w.addr)
	if err != nil {
		b.close()
		return nil, err
	}
	return &pair{browser: b, phone: p}, nil
}

func (c *pair) close() {
	c.browser.close()
	c.phone.close()
}

var itemName = []byte(`"item":"`)

// approve does one approval and tells how long it took from the phone's answer to the browser's release.
func (w *world) approve(ctx context.Context, c *pair, p *person) (time.Duration, error) {
	if err := c.browser.send("POST", executor, p.browser, p.choose); err != nil {
		return 0, err
	}
	shown, err := c.browser.expect(200)
	if err != nil {
		return 0, fmt.Errorf("choose the phone: %w", err)
	}
	i := bytes.Index(shown, itemName)
	if i < 0 || !bytes.Contains(shown, []byte("Empty response")) {
		return 0, fmt.Errorf("choose the phone: no number is shown: %.500s", shown)
	}
	item := shown[i+len(itemName):]
	item = item[:bytes.IndexByte(item, '"')]

	limit, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var data map[string]string
	select {
	case data = <-p.pushed:
	case <-limit.Done():
		return 0, errors.New("no push came")
	}
	if !bytes.Contains([]byte(data["items"]), item) {
		return 0, fmt.Errorf("the phone was sent %s, the browser shows %s", data["items"], item)
	}
	c.body = append(c.body[:0], `{"tx_id":"`...)
	c.body = append(c.body, data["tx_id"]...)
	c.body = append(c.body, `","selected_item":"`...)
	c.body = append(c.body, item...)
	c.body = append(c.body, `"}`...)

	tx, err := uuid.Parse(data["tx_id"])
	if err != nil {
		return 0, err
	}
	w.trace.looking.Store(tx, p.looked)
	defer w.trace.looking.Delete(tx)
	w.trace.looking.Store(p.key, p.looked)
	defer w.trace.looking.Delete(p.key)
	if err := c.browser.send("POST", executor, p.browser, p.wait); err != nil {
		return 0, err
	}
	if err := w.awaitLooks(limit, p); err != nil {
		return 0, err
	}
	began := time.Now()
	if err := c.phone.send("POST", p.path, p.phone, c.body); err != nil {
		return 0, err
	}
	if _, err := c.phone.expect(204); err != nil {
		return 0, fmt.Errorf("answer: %w", err)
	}
	if _, err := c.browser.expect(302); err != nil {
		return 0, fmt.Errorf("wait: %w", err)
	}
	took := time.Since(began)
	for len(p.looked) > 0 { // looks after the answer
		<-p.looked
	}
	return took, nil
}

// awaitLooks returns when the browser's request has read all that it reads before it waits. How much that is, the first
// approval learns.
func (w *world) awaitLooks(ctx context.Context, p *person) error {
	if w.looks == 0 {
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
		if w.looks = len(p.looked); w.looks == 0 {
			return errors.New("the browser's request reads nothing that the measurement knows")
		}
	}
	for range w.looks {
		select {
		case <-p.looked:
		case <-ctx.Done():
			return errors.New("the browser's request does not wait")
		}
	}
	return nil
}

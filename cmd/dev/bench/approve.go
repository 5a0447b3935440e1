package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
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

// itemOf is the number in a challenge; nil if there is none.
func itemOf(shown []byte) []byte {
	_, item, found := bytes.Cut(shown, itemName)
	if !found {
		return nil
	}
	item, _, _ = bytes.Cut(item, []byte{'"'})
	return bytes.Clone(item)
}

// approve does one approval and tells how long it took from the phone's answer to the browser's release.
func (w *world) approve(ctx context.Context, c *pair, p *person) (time.Duration, error) {
	limit, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ask := w.ask
	if w.stock {
		ask = w.chooseThenWait
	}
	data, err := ask(limit, c, p)
	if err != nil {
		return 0, err
	}
	if !strings.Contains(data["items"], string(w.item)) {
		return 0, fmt.Errorf("the phone was sent %s, the browser shows %s", data["items"], w.item)
	}
	respond := w.respond
	if w.signed {
		respond = w.respondSigned
	}
	began, err := respond(c, p, data["tx_id"])
	if err != nil {
		return 0, fmt.Errorf("answer: %w", err)
	}
	if _, err := c.browser.expect(302); err != nil {
		return 0, fmt.Errorf("wait: %w", err)
	}
	return time.Since(began), nil
}

// respond sends the phone's answer, and tells when it did.
func (w *world) respond(c *pair, p *person, tx string) (time.Time, error) {
	c.body = append(c.body[:0], `{"tx_id":"`...)
	c.body = append(c.body, tx...)
	c.body = append(c.body, `","selected_item":"`...)
	c.body = append(c.body, w.item...)
	c.body = append(c.body, `"}`...)
	began := time.Now()
	if err := c.phone.send("POST", p.path, p.phone, c.body); err != nil {
		return began, err
	}
	_, err := c.phone.expect(204)
	return began, err
}

// ask sends the browser's one request and gives what the phone was sent.
func (w *world) ask(ctx context.Context, c *pair, p *person) (map[string]string, error) {
	if err := c.browser.send("POST", executor, p.browser, p.ask); err != nil {
		return nil, err
	}
	return p.push(ctx)
}

func (p *person) push(ctx context.Context) (map[string]string, error) {
	select {
	case data := <-p.pushed:
		return data, nil
	case <-ctx.Done():
		return nil, errors.New("no push came")
	}
}

// chooseThenWait does the same in two requests.
func (w *world) chooseThenWait(ctx context.Context, c *pair, p *person) (map[string]string, error) {
	for len(p.looked) > 0 { // after the last answer
		<-p.looked
	}
	if err := c.browser.send("POST", executor, p.browser, p.choose); err != nil {
		return nil, err
	}
	shown, err := c.browser.expect(200)
	if err == nil && !bytes.Equal(itemOf(shown), w.item) {
		err = fmt.Errorf("another number is shown: %.500s", shown)
	}
	if err != nil {
		return nil, fmt.Errorf("choose the phone: %w", err)
	}
	data, err := p.push(ctx)
	if err != nil {
		return nil, err
	}
	tx, err := uuid.Parse(data["tx_id"])
	if err != nil {
		return nil, err
	}
	w.trace.looking.Store(tx, p.looked)
	defer w.trace.looking.Delete(tx)
	w.trace.looking.Store(p.key, p.looked)
	defer w.trace.looking.Delete(p.key)
	if err := c.browser.send("POST", executor, p.browser, p.wait); err != nil {
		return nil, err
	}
	return data, w.awaitLooks(ctx, p)
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

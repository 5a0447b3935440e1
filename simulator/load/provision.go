package load

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"countersign/simulator/browser"
	"countersign/simulator/phone"
)

const (
	provisioners = 8
	maxReply     = 1 << 20
)

// person is a user with a phone.
type person struct {
	id     int
	name   string
	secret string
	screen phone.Screen
	phone  *phone.Phone
	plan   atomic.Pointer[plan]
}

// plan is what a person will do in one login, and what was done.
type plan struct {
	kind   Kind
	tapped atomic.Pointer[tap]
}

type tap struct {
	item string
	at   time.Time
}

// behave is the phone's behaviour: the current plan's.
func (p *person) behave(ctx context.Context, ph *phone.Phone, r phone.Ring) (string, error) {
	current := p.plan.Load()
	if current == nil {
		return "", nil
	}
	item, err := current.kind.behaviour(&p.screen)(ctx, ph, r)
	if err == nil && item != "" {
		current.tapped.Store(&tap{item, ph.Now()})
	}
	return item, err
}

// admin is the server's API under an administrator's token.
type admin struct {
	base, token string
	http        *http.Client
}

func (a admin) call(ctx context.Context, method, path string, body, into any) (int, error) {
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return 0, err
		}
		reader = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.base+"api/v3"+path, reader)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	req.Header.Set("Content-Type", "application/json")
	res, err := a.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxReply))
	if err != nil {
		return res.StatusCode, err
	}
	if res.StatusCode > 299 {
		return res.StatusCode, fmt.Errorf("%s %s: %s: %.200s", method, path, res.Status, bytes.TrimSpace(text))
	}
	if into == nil {
		return res.StatusCode, nil
	}
	return res.StatusCode, json.Unmarshal(text, into)
}

func userPath(id int, action string) string {
	return "/core/users/" + strconv.Itoa(id) + "/" + action
}

// create makes a user afresh: one of the same name, left over from a run before, goes first.
func (a admin) create(ctx context.Context, name, secret string) (int, error) {
	var made struct {
		PK int `json:"pk"`
	}
	body := map[string]any{"username": name, "name": name, "path": "simulator"}
	status, err := a.call(ctx, http.MethodPost, "/core/users/", body, &made)
	if status == http.StatusBadRequest {
		var found struct {
			Results []struct {
				PK int `json:"pk"`
			} `json:"results"`
		}
		if _, lookup := a.call(ctx, http.MethodGet, "/core/users/?username="+url.QueryEscape(name), nil, &found); lookup != nil || len(found.Results) != 1 {
			return 0, err
		}
		if err := a.remove(ctx, found.Results[0].PK); err != nil {
			return 0, err
		}
		_, err = a.call(ctx, http.MethodPost, "/core/users/", body, &made)
	}
	if err != nil {
		return 0, err
	}
	_, err = a.call(ctx, http.MethodPost, userPath(made.PK, "set_password/"), map[string]string{"password": secret}, nil)
	return made.PK, err
}

func (a admin) remove(ctx context.Context, id int) error {
	_, err := a.call(ctx, http.MethodDelete, userPath(id, ""), nil, nil)
	return err
}

// provision makes the run's people, each with an enrolled phone. On an error the phones made so far
// are in r.people and still to be closed.
func (r *run) provision(ctx context.Context) error {
	r.people = make([]*person, r.o.Phones)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(provisioners)
	var done atomic.Int64
	for i := range r.people {
		p := &person{name: fmt.Sprintf("%s%05d", r.o.Prefix, i), secret: r.o.Password}
		p.phone = phone.New(phone.Options{
			Push: r.o.Push, Behaviour: p.behave, Stock: r.o.Stock, HTTP: &http.Client{Transport: r.transport, Timeout: callLimit},
			Clock: r.o.Clock, OnStep: r.phoneStep,
		})
		r.people[i] = p
		group.Go(func() error {
			if err := r.enrol(ctx, p); err != nil {
				return fmt.Errorf("provision %s: %w", p.name, err)
			}
			if n := done.Add(1); n%100 == 0 || int(n) == r.o.Phones {
				r.o.Progress(fmt.Sprintf("%d of %d phones enrolled", n, r.o.Phones))
			}
			return nil
		})
	}
	return group.Wait()
}

func (r *run) enrol(ctx context.Context, p *person) error {
	id, err := r.admin.create(ctx, p.name, p.secret)
	p.id = id
	if err != nil {
		return err
	}
	b, err := r.browser(ctx, p, nil)
	if err != nil {
		return err
	}
	result, err := b.Login(ctx, p.name, p.secret)
	if err != nil {
		return err
	}
	if result.Outcome != browser.NoPhone {
		return fmt.Errorf("first login: %s: %s", result.Outcome, result.Detail)
	}
	device, err := b.EnrolPhone(ctx, func(ctx context.Context, qr []byte) (string, error) {
		account, err := p.phone.EnrolFromQR(ctx, qr)
		return account.Fingerprint, err
	})
	if err != nil {
		return err
	}
	return p.phone.Settle(ctx, device)
}

// leave switches the phones off and, unless they are to stay, deletes the users.
func (r *run) leave(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(provisioners)
	for _, p := range r.people {
		group.Go(func() error {
			p.phone.Close()
			if p.id == 0 || r.o.Keep {
				return nil
			}
			return r.admin.remove(ctx, p.id)
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("remove users: %w", err)
	}
	return nil
}

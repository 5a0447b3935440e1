package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"countersign/mobile/wire"
	"countersign/simulator/admin"
	"countersign/simulator/browser"
	"countersign/simulator/phone"
	"countersign/simulator/verdict"
)

// What the answers of phones have to be authenticated by, as a set-up stage says.
const (
	bearer   = "bearer"
	signed   = "signed"
	verified = "signed_user_verified"
)

// demands are the columns of the matrix.
var demands = []string{bearer, signed, verified}

// Generation is a kind of phone that a server has to get on with, or to refuse.
type Generation struct {
	Name  string
	About string
	// Meets are the demands that it is good for.
	Meets []string

	options phone.Options
	pushed  bool       // it knows of a login by a push alone
	later   *wire.Info // what it says of itself once it has enrolled
}

// Generations are the rows of the matrix.
func Generations() []Generation {
	all := demands
	old := wire.Info{Platform: wire.Android, OSVersion: "9", Model: "Old phone", Hostname: "Old phone", AppVersion: "0.1.0"}.WithFetch()
	next := wire.Info{
		Platform: wire.Other, OSVersion: "99", Model: "Next phone", Hostname: "Next phone", AppVersion: "99.0",
		Others: map[string]any{"countersign": map[string]any{"fetch": true, "transactions": true, "v": 99, "telepathy": true}, "vendor": map[string]any{"x": 1}},
	}
	keys := phone.Options{Signs: true, Verifies: true}
	return []Generation{
		{"stock", "the stock app, version 2023.10.4: no keys, shows what the push carries", []string{bearer},
			phone.Options{Stock: true, Info: wire.Info{AppVersion: "2023.10.4"}}, true, nil},
		{"fetch", "no keys; a push wakes it, and it fetches", []string{bearer}, phone.Options{}, false, nil},
		{"poll", "no keys and no pushes: it asks by itself", []string{bearer}, phone.Options{Fetch: phone.ByPoll}, false, nil},
		{"socket", "no keys and no pushes: it holds a WebSocket", []string{bearer}, phone.Options{Fetch: phone.BySocket}, false, nil},
		{"signs", "a key for possession", []string{bearer, signed}, phone.Options{Signs: true}, false, nil},
		{"verifies", "a key that stands for its owner's finger, too", all, keys, false, nil},
		{"passkey", "a web page, whose second key is a passkey", all, phone.Options{Signs: true, Verifies: true, Passkey: true}, false, nil},
		{"old", "with both keys; says that it is version 0.1.0, and knows no transactions", all, keys, false, &old},
		{"next", "with both keys; says that it is version 99, and what nobody knows yet", all, keys, false, &next},
	}
}

// SkewOptions of a matrix. Base and Token are required.
type SkewOptions struct {
	Base  string // the server's URL
	Token string // an API token that may make users, flows and stages
	// Push is the push service that the server sends to; nil: all phones ask by themselves, and the stock one is not tried.
	Push phone.Source
	Only []string // names of generations; none: all

	Prefix    string // of users and flows, default "skew-"; users of such names are replaced
	LoginFlow string // default browser's
	Progress  func(text string)
}

// Cell is what became of one kind of phone under one demand.
type Cell struct {
	Generation string          `json:"generation"`
	Demand     string          `json:"demand"`
	Expected   string          `json:"expected"` // works, or refused
	Outcome    verdict.Outcome `json:"outcome"`
	Observed   string          `json:"observed"`
	Evidence   []verdict.Probe `json:"evidence"`
	Took       time.Duration   `json:"took"`
}

// Matrix is all cells, row by row.
type Matrix struct {
	Server      string        `json:"server"`
	Began       time.Time     `json:"began"`
	Took        time.Duration `json:"took"`
	Cells       []Cell        `json:"cells"`
	Interrupted bool          `json:"interrupted,omitempty"`
}

const (
	phrase    = "Simulated-phone-4711" // the password of the users, who live as long as a run
	together  = 4
	cellLimit = 3 * time.Minute
	leaving   = time.Minute
)

// skew is the state of one Skew.
type skew struct {
	o     SkewOptions
	admin admin.API
	http  *http.Transport
	flows map[string]string // slug by demand
	leave []func(context.Context) error
}

// Skew has every kind of phone enrol, approve and deny under every demand, each time with a user, and a set-up flow for each
// demand, that it makes and removes. An error means that the server is not there, or does not let them be made.
func Skew(ctx context.Context, o SkewOptions) (*Matrix, error) {
	if o.Base == "" || o.Token == "" {
		return nil, errors.New("skew: a server and a token are needed")
	}
	if o.Prefix == "" {
		o.Prefix = "skew-"
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	for _, name := range o.Only {
		if !slices.ContainsFunc(Generations(), func(g Generation) bool { return g.Name == name }) {
			return nil, fmt.Errorf("skew: there is no phone %q", name)
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	defer transport.CloseIdleConnections()
	s := &skew{o: o, http: transport, flows: map[string]string{}, admin: admin.API{
		Base: o.Base, Token: o.Token, HTTP: &http.Client{Transport: transport, Timeout: time.Minute},
	}}
	defer s.cleanUp(context.WithoutCancel(ctx))
	m := &Matrix{Server: o.Base, Began: time.Now()}
	for _, d := range demands {
		if err := s.flow(ctx, d); err != nil {
			return nil, fmt.Errorf("make a set-up flow that accepts %s answers: %w", d, err)
		}
	}
	var rows []Generation
	for _, g := range Generations() {
		if len(o.Only) == 0 || slices.Contains(o.Only, g.Name) {
			rows = append(rows, g)
		}
	}
	cells := make([]*Cell, len(rows)*len(demands))
	var group errgroup.Group
	group.SetLimit(together)
	for i := range cells {
		group.Go(func() error {
			if ctx.Err() == nil {
				cells[i] = s.cell(ctx, rows[i/len(demands)], demands[i%len(demands)])
			}
			return nil
		})
	}
	_ = group.Wait() // what went wrong is in the cells
	for _, c := range cells {
		if c != nil {
			m.Cells = append(m.Cells, *c)
		}
	}
	m.Interrupted, m.Took = ctx.Err() != nil, time.Since(m.Began)
	return m, nil
}

// flow makes a set-up flow whose stage has that demand. One of a run before is removed.
func (s *skew) flow(ctx context.Context, demand string) error {
	slug := s.o.Prefix + strings.ReplaceAll(demand, "_", "-")
	_ = s.admin.Call(ctx, http.MethodDelete, "/flows/instances/"+slug+"/", nil, nil) // mostly there is none
	var flow, stage struct {
		PK string `json:"pk"`
	}
	err := s.admin.Call(ctx, http.MethodPost, "/flows/instances/", map[string]any{
		"name": slug, "slug": slug, "title": slug, "designation": "stage_configuration", "authentication": "require_authenticated",
	}, &flow)
	if err != nil {
		return err
	}
	s.leave = append(s.leave, func(ctx context.Context) error {
		return s.admin.Call(ctx, http.MethodDelete, "/flows/instances/"+slug+"/", nil, nil)
	})
	name := fmt.Sprintf("%s %d", slug, time.Now().UnixNano())
	err = s.admin.Call(ctx, http.MethodPost, "/stages/authenticator/mobile/", map[string]any{
		"name": name, "cgw_endpoint": "-", "accepted_answers": demand,
	}, &stage)
	if err != nil {
		return err
	}
	s.leave = append(s.leave, func(ctx context.Context) error {
		return s.admin.Call(ctx, http.MethodDelete, "/stages/authenticator/mobile/"+stage.PK+"/", nil, nil)
	})
	s.flows[demand] = slug
	return s.admin.Call(ctx, http.MethodPost, "/flows/bindings/", map[string]any{"target": flow.PK, "stage": stage.PK, "order": 0}, nil)
}

func (s *skew) cleanUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leaving)
	defer cancel()
	for _, do := range slices.Backward(s.leave) {
		if err := do(ctx); err != nil {
			s.o.Progress(fmt.Sprintf("something is left: %v", err))
		}
	}
}

// cell does one; nil when it was interrupted.
func (s *skew) cell(ctx context.Context, g Generation, demand string) *Cell {
	c := &Cell{Generation: g.Name, Demand: demand, Expected: "refused"}
	if slices.Contains(g.Meets, demand) {
		c.Expected = "works"
	}
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, cellLimit)
	defer cancel()
	err := s.try(limited, g, c)
	if ctx.Err() != nil {
		return nil
	}
	c.Took = time.Since(began)
	held := "enrols, approves, denies"
	if c.Expected == "refused" {
		held = "refused as expected"
	}
	c.Outcome, c.Observed = verdict.Judge(c.Evidence, err, held)
	s.o.Progress(fmt.Sprintf("%s under %s: %s", g.Name, demand, c.Outcome))
	return c
}

func (c *Cell) expect(held bool, tried, got string) {
	c.Evidence = append(c.Evidence, verdict.Probe{Tried: tried, Got: strings.TrimSpace(got), Held: held})
}

// try has the phone enrol, and if it may, approve and deny.
func (s *skew) try(ctx context.Context, g Generation, c *Cell) error {
	if g.pushed && s.o.Push == nil {
		return verdict.Skip{Reason: "it needs pushes, and no push service was named that the server sends to"}
	}
	name := s.o.Prefix + g.Name + "-" + strings.ReplaceAll(c.Demand, "_", "-")
	id, err := s.admin.Create(ctx, name, phrase)
	if id != 0 {
		defer func() {
			leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaving)
			defer cancel()
			if err := s.admin.Remove(leave, id); err != nil {
				s.o.Progress(fmt.Sprintf("user %s is left: %v", name, err))
			}
		}()
	}
	if err != nil {
		return err
	}
	screen := &phone.Screen{}
	var denies atomic.Bool
	o := g.options
	o.Behaviour = func(ctx context.Context, p *phone.Phone, r phone.Ring) (string, error) {
		if denies.Load() {
			return phone.Deny(ctx, p, r)
		}
		return phone.Approve(screen)(ctx, p, r)
	}
	o.HTTP = &http.Client{Transport: s.http, Timeout: time.Minute}
	switch {
	case o.Fetch != "" && o.Fetch != phone.ByPush:
	case s.o.Push != nil:
		o.Push = s.o.Push
	default:
		o.Fetch = phone.ByPoll
	}
	p := phone.New(o)
	defer p.Close()
	b, err := s.browser(screen, c.Demand)
	if err != nil {
		return err
	}
	first, err := b.Login(ctx, name, phrase)
	if err != nil {
		return err
	}
	if first.Outcome != browser.NoPhone {
		return fmt.Errorf("the first login, without a phone: %s %s", first.Outcome, first.Detail)
	}
	var refused error
	device, err := b.EnrolPhone(ctx, func(ctx context.Context, qr []byte) (string, error) {
		account, err := p.EnrolFromQR(ctx, qr)
		refused = err
		return account.Fingerprint, err
	})
	var status *phone.StatusError
	if c.Expected == "refused" {
		switch {
		case errors.As(refused, &status):
			c.expect(status.Status >= 400 && status.Status < 500, "enrols", status.Error())
		case err == nil:
			c.expect(false, "enrols", "it is taken")
		default:
			return err
		}
		return nil
	}
	if err == nil {
		err = p.Settle(ctx, device)
	}
	if err == nil && g.later != nil {
		err = p.SetInfo(ctx, *g.later)
	}
	if err != nil {
		c.expect(false, "enrols", err.Error())
		return nil
	}
	c.expect(true, "enrols", "it is taken")
	for _, want := range []browser.Outcome{browser.Approved, browser.Denied} {
		denies.Store(want == browser.Denied)
		b, err := s.browser(screen, c.Demand)
		if err != nil {
			return err
		}
		result, err := b.Login(ctx, name, phrase)
		if err != nil {
			return err
		}
		c.expect(result.Outcome == want, "a login that the phone has "+string(want), string(result.Outcome)+" "+result.Detail)
	}
	return nil
}

func (s *skew) browser(screen *phone.Screen, demand string) (*browser.Browser, error) {
	return browser.New(browser.Options{
		Base: s.o.Base, Transport: s.http, LoginFlow: s.o.LoginFlow, SetupFlow: s.flows[demand], OnItem: screen.Show, Code: screen.Code,
	})
}

// Err is verdict.ErrBroken, verdict.ErrIncomplete or nil.
func (m *Matrix) Err() error {
	var all []verdict.Outcome
	for _, c := range m.Cells {
		all = append(all, c.Outcome)
	}
	return verdict.Err(all)
}

// word is a cell in the matrix.
func (c Cell) word() string {
	switch {
	case c.Outcome == verdict.NotApplicable:
		return "not tried"
	case c.Outcome != verdict.Held:
		return strings.ToUpper(string(c.Outcome))
	}
	return c.Expected
}

// Text writes the matrix for a person; width as [Report.Text] has it.
func (m *Matrix) Text(w io.Writer, width int) error {
	p := verdict.NewPage(width)
	p.Paragraph("", "", "Phones of all kinds at "+m.Server)
	p.Paragraph("", "", "Each enrols, approves a login and denies one, where answers have to be authenticated by: a token (bearer), a signature (signed), "+
		"the owner's key (verified).")
	p.Line("")
	p.Line(fmt.Sprintf("%-9s %-9s %-9s %s", "", bearer, signed, "verified"))
	for _, g := range Generations() {
		line, found := fmt.Sprintf("%-9s", g.Name), false
		for _, c := range m.Cells {
			if c.Generation == g.Name {
				line, found = line+fmt.Sprintf(" %-9s", c.word()), true
			}
		}
		if found {
			p.Line(strings.TrimRight(line, " "))
		}
	}
	p.Line("")
	for _, g := range Generations() {
		p.Paragraph("", "  ", g.Name+": "+g.About)
	}
	held := true
	for _, c := range m.Cells {
		if c.Outcome != verdict.Held {
			if held {
				p.Line("")
			}
			held = false
			p.Paragraph("", "    ", fmt.Sprintf("%s under %s: %s: %s", c.Generation, c.Demand, strings.ToUpper(string(c.Outcome)), c.Observed))
		}
	}
	if m.Interrupted {
		p.Paragraph("", "", "Interrupted: not all were tried.")
	}
	_, err := p.WriteTo(w)
	return err
}

// JSON writes the matrix as JSON.
func (m *Matrix) JSON(w io.Writer) error { return writeJSON(w, m) }

// JUnit writes the matrix as JUnit XML, a case for each cell.
func (m *Matrix) JUnit(w io.Writer) error {
	var cases []verdict.Case
	for _, c := range m.Cells {
		cases = append(cases, verdict.Case{
			Class: "skew." + c.Generation, Name: c.Generation + " under " + c.Demand + " " + c.Expected, Outcome: c.Outcome, Observed: c.Observed,
			Evidence: c.Evidence, Took: c.Took,
		})
	}
	return verdict.JUnit(w, "skew", m.Began, m.Took, cases)
}

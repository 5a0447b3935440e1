package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"countersign/cmd/app"
	"countersign/core/db"
	"countersign/core/user"
	"countersign/mobile/wire"
	"countersign/simulator/browser"
	"countersign/simulator/fcm"
)

// Outage measures logins while the push service is gone, and that no push outlives its prompt.
type Outage struct {
	Duration time.Duration `default:"60s" help:"How long the push service is gone: in the first half it hangs, in the second it refuses."`
	Before   time.Duration `default:"15s" help:"How long logins are measured before, with a push service that works."`
	Window   time.Duration `default:"30s" help:"How long a phone may answer. Prompts of the first half are over before the push service is back."`
	Rate     float64       `default:"5" help:"Logins that begin in a second, however long the others take."`
	Max      time.Duration `default:"300ms" help:"Fail when the 99th percentile of a login's way to the waiting page is above this; 0: do not."`
	JSON     bool          `help:"Print one JSON object."`
	Dir      string        `type:"path" placeholder:"DIR" help:"Directory for the database; a temporary one is made in it."`
}

// Outaged is what was measured.
type Outaged struct {
	Phases []Phase `json:"phases"`
	Pushes Pushes  `json:"pushes"`
}

// Phase are the logins that began while the push service was in one condition. A login's way is that to the page that waits for the
// phone: the page, and every request of its script up to the one that asks the phone. A step is one of these requests.
type Phase struct {
	Push    string  `json:"push"`
	Logins  int     `json:"logins"`
	WayP50  float64 `json:"way_p50_ms"`
	WayP99  float64 `json:"way_p99_ms"`
	WayMax  float64 `json:"way_max_ms"`
	StepP50 float64 `json:"step_p50_ms"`
	StepP99 float64 `json:"step_p99_ms"`
}

// Pushes is what the push service saw, by its own history.
type Pushes struct {
	Prompts  int     `json:"prompts"`
	Sends    int     `json:"sends"`     // with all that were refused or hung
	Accepted int     `json:"accepted"`  //
	Caught   int     `json:"caught_up"` // accepted after the outage, of prompts from before its end
	Late     int     `json:"late"`      // that came when their prompt was over
	Latest   float64 `json:"latest_s"`  // the least time that a prompt had left when a send came; negative for a late one
}

// leeway is how much later than it was sent a push may be seen by a double whose machine is busy.
const leeway = 250 * time.Millisecond

// lateBy is how long the double is watched after the last prompt is over.
const lateBy = 5 * time.Second

// Run measures and prints. It fails when a push came late, or the 99th percentile of a phase of the outage is above Max.
func (o *Outage) Run(ctx context.Context, k *kong.Context) error {
	if o.Rate <= 0 || o.Window <= 0 || o.Duration <= 0 {
		return errors.New("--rate, --window and --duration: more than 0")
	}
	r, err := o.measure(ctx, func(format string, args ...any) { _, _ = fmt.Fprintf(k.Stderr, format+"\n", args...) })
	if err != nil {
		return err
	}
	if o.JSON {
		err = json.NewEncoder(k.Stdout).Encode(r)
	} else {
		err = r.text(k.Stdout, o)
	}
	if err != nil {
		return err
	}
	if r.Pushes.Late > 0 {
		return fmt.Errorf("%d pushes were sent when their prompt was over", r.Pushes.Late)
	}
	for _, p := range r.Phases[1:] {
		if o.Max > 0 && p.WayP99 > milliseconds(o.Max) {
			return fmt.Errorf("p99 %.0f ms while the push service %s; at most %s is asked", p.WayP99, p.Push, o.Max)
		}
	}
	return nil
}

func (r *Outaged) text(w io.Writer, o *Outage) error {
	_, err := fmt.Fprintf(w, "Measured: the page and the requests of its script from a name to the challenge that waits for the phone, with a password (argon2id), %g logins a second; "+
		"the server sends by Firebase Cloud Messaging to a double; a phone may answer for %s; TCP on the loopback; client, server, database and double share the processors.\n\n"+
		"  push service   logins   a login's way p50/p99/max ms   a step p50/p99 ms\n", o.Rate, o.Window)
	if err != nil {
		return err
	}
	for _, p := range r.Phases {
		if _, err := fmt.Fprintf(w, "  %-12s   %6d   %14.0f / %.0f / %.0f   %17.1f / %.1f\n", p.Push, p.Logins, p.WayP50, p.WayP99, p.WayMax, p.StepP50, p.StepP99); err != nil {
			return err
		}
	}
	goal := map[bool]string{true: "ok", false: "MISSED"}
	for _, p := range r.Phases[1:] {
		if _, err := fmt.Fprintf(w, "\n%-6s p99 while it %s: %.0f ms (goal < 300 ms)", goal[p.WayP99 < 300], p.Push, p.WayP99); err != nil {
			return err
		}
	}
	p := r.Pushes
	_, err = fmt.Fprintf(w, "\n%-6s %d pushes after their prompt was over, of %d sends for %d prompts; the latest came with %.1f s left; %d were caught up after the outage\n",
		goal[p.Late == 0], p.Late, p.Sends, p.Prompts, p.Latest, p.Caught)
	return err
}

// patron is somebody who logs in once.
type patron struct{ name, device string }

// outageScene is a server with its push service.
type outageScene struct {
	server *app.App
	double *fcm.Double
	people []patron // who have not logged in yet
	held   sync.WaitGroup

	mu    sync.Mutex
	ways  []time.Duration
	steps []time.Duration
}

func (o *Outage) measure(ctx context.Context, progress func(string, ...any)) (_ *Outaged, err error) {
	s := &outageScene{}
	if s.double, err = fcm.New(fcm.Options{AcceptAny: true, History: 1 << 17}); err != nil {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	endpoint := "http://" + listener.Addr().String()
	push := &http.Server{Handler: s.double, ReadHeaderTimeout: time.Minute}
	go func() { _ = push.Serve(listener) }() // ends with Close
	defer func() { err = errors.Join(err, push.Close()) }()
	defer s.double.Close()
	credentials, err := s.double.ServiceAccount(endpoint)
	if err != nil {
		return nil, err
	}
	base, err := newScratch(ctx, o.Dir, app.Options{}, func(c *app.Config) {
		c.Push.FCM.Credentials, c.Push.FCM.URL, c.Mobile.AnswerWindow = string(credentials), endpoint+"/v1", o.Window
	})
	if err != nil {
		return nil, err
	}
	s.server = base.server
	defer func() {
		err = errors.Join(err, base.close())
		s.held.Wait()
	}()
	if err := s.populate(ctx, int(o.Rate*(o.Before+o.Duration).Seconds())+2); err != nil {
		return nil, fmt.Errorf("make people: %w", err)
	}
	return o.phases(ctx, s, progress)
}

func (o *Outage) phases(ctx context.Context, s *outageScene, progress func(string, ...any)) (*Outaged, error) {
	r := &Outaged{}
	for _, x := range []struct {
		push string
		code fcm.Code
		last time.Duration
	}{{"works", "", o.Before}, {"hangs", fcm.Hang, o.Duration / 2}, {"refuses", fcm.Unavailable, o.Duration / 2}} {
		progress("the push service %s: logins for %s", x.push, x.last)
		conditions := fcm.Conditions{}
		if x.code != "" {
			conditions.Outages = []fcm.Outage{{Error: x.code}}
		}
		if err := s.double.SetConditions(conditions); err != nil {
			return nil, err
		}
		p, err := s.logins(ctx, o.Rate, x.last)
		if err != nil {
			return nil, fmt.Errorf("while the push service %s: %w", x.push, err)
		}
		p.Push = x.push
		r.Phases = append(r.Phases, p)
	}
	back := time.Now()
	if err := s.double.SetConditions(fcm.Conditions{}); err != nil {
		return nil, err
	}
	progress("until every prompt is over: %s", o.Window+lateBy)
	select {
	case <-time.After(o.Window + lateBy):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var err error
	r.Pushes, err = s.pushes(ctx, back)
	return r, err
}

const (
	outagePassword = "correct horse battery staple"
	loginPage      = "/if/flow/default-authentication-flow/"
	loginSteps     = "/api/v3/flows/executor/default-authentication-flow/?query="
)

// populate makes people who have a password, a phone on Firebase Cloud Messaging, and a login from here behind them: strangers are
// asked few at a time.
func (s *outageScene) populate(ctx context.Context, n int) error {
	hasher, err := user.NewHasher(user.DefaultParams(), 0)
	if err != nil {
		return err
	}
	password, err := hasher.Hash(ctx, outagePassword)
	if err != nil {
		return err
	}
	devices := make([]uuid.UUID, n)
	for i := range devices {
		devices[i] = uuid.New()
		s.people = append(s.people, patron{fmt.Sprintf("person-%d", i+1), devices[i].String()})
	}
	info := wire.Info{Platform: wire.Android, OSVersion: "16", Model: "Pixel", Hostname: "Phone", AppVersion: "1.0", Others: map[string]any{}}
	_, err = s.server.Pool().Exec(ctx, `WITH n AS (SELECT uuid, 'person-' || ordinality AS name, uuid::text AS address FROM unnest($1::uuid[]) WITH ORDINALITY AS n (uuid)),
		u AS (INSERT INTO users (uuid, username, name, password) SELECT gen_random_uuid(), name, name, $2 FROM n RETURNING id, username),
		d AS (INSERT INTO mobile_devices (uuid, user_id, name, confirmed, device_uid, info, push_channel, push_address)
			SELECT n.uuid, u.id, 'Phone', true, n.name, $3, 'fcm', n.address FROM n JOIN u ON u.username = n.name RETURNING uuid, user_id)
		INSERT INTO mobile_transactions (tx_id, device, user_id, source, status, mode, items, correct, context, node, created, expires, ring)
			SELECT gen_random_uuid(), uuid, user_id, '127.0.0.1', 'accept', 'number_matching_3', '{}', '', '{}', uuid, now() - interval '1 hour', now() - interval '1 hour', 1 FROM d`,
		devices, password, info)
	return db.Fault(err)
}

// logins begins logins at a rate, for a while, each of another person, and waits until all have come to the waiting page.
func (s *outageScene) logins(ctx context.Context, rate float64, last time.Duration) (Phase, error) {
	s.ways, s.steps = nil, nil
	every := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer every.Stop()
	g, gctx := errgroup.WithContext(ctx)
	for end := time.Now().Add(last); time.Now().Before(end) && gctx.Err() == nil; {
		if len(s.people) == 0 {
			return Phase{}, errors.New("there are no people left")
		}
		p := s.people[0]
		s.people = s.people[1:]
		g.Go(func() error { return s.login(gctx, p) })
		select {
		case <-every.C:
		case <-gctx.Done():
		}
	}
	if err := g.Wait(); err != nil {
		return Phase{}, err
	}
	slices.Sort(s.ways)
	slices.Sort(s.steps)
	return Phase{
		Logins: len(s.ways), WayP50: milliseconds(quantile(s.ways, .5)), WayP99: milliseconds(quantile(s.ways, .99)), WayMax: milliseconds(quantile(s.ways, 1)),
		StepP50: milliseconds(quantile(s.steps, .5)), StepP99: milliseconds(quantile(s.steps, .99)),
	}, nil
}

// login goes as far as the page that waits for the phone, and then has the page wait.
func (s *outageScene) login(ctx context.Context, p patron) error {
	b, err := browser.New(browser.Options{Base: s.server.URL()})
	if err != nil {
		return err
	}
	var steps []time.Duration
	step := func(method, path string, body any) (browser.Reply, error) {
		began := time.Now()
		reply, err := b.Do(ctx, method, path, body)
		steps = append(steps, time.Since(began))
		if err == nil && reply.Status >= http.StatusBadRequest {
			err = fmt.Errorf("%s %s: %d %.300s", method, path, reply.Status, reply.Body)
		}
		return reply, err
	}
	began := time.Now()
	if _, err := step(http.MethodGet, loginPage, nil); err != nil {
		return err
	}
	var last browser.Reply
	for _, body := range []any{
		nil, map[string]any{"uid_field": p.name}, nil, map[string]any{"password": outagePassword}, nil,
		map[string]any{"selected_challenge": map[string]any{"device_class": "mobile", "device_uid": p.device, "challenge": map[string]any{}}},
	} {
		method := http.MethodPost
		if body == nil {
			method = http.MethodGet
		}
		if last, err = step(method, loginSteps, body); err != nil {
			return err
		}
	}
	way := time.Since(began)
	var shown struct {
		Devices []struct {
			Challenge struct {
				Expires time.Time `json:"expires"`
			} `json:"challenge"`
		} `json:"device_challenges"`
	}
	if err := json.Unmarshal(last.Body, &shown); err != nil || len(shown.Devices) != 1 || shown.Devices[0].Challenge.Expires.IsZero() {
		return fmt.Errorf("the phone was not asked: %d %.500s", last.Status, last.Body)
	}
	s.mu.Lock()
	s.ways, s.steps = append(s.ways, way), append(s.steps, steps...)
	s.mu.Unlock()
	// The page waits, as pages do, until it is told something.
	s.held.Go(func() {
		_, _ = b.Do(context.WithoutCancel(ctx), http.MethodPost, loginSteps, map[string]any{"mobile": p.device})
	})
	return nil
}

// pushes compares the history of the push service, which came back at that time, with the prompts.
func (s *outageScene) pushes(ctx context.Context, back time.Time) (Pushes, error) {
	expires := map[string]time.Time{}
	rows, err := s.server.Pool().Query(ctx, `SELECT tx_id::text, expires FROM mobile_transactions WHERE created > now() - interval '59 minutes'`)
	if err != nil {
		return Pushes{}, db.Fault(err)
	}
	defer rows.Close()
	for rows.Next() {
		var tx string
		var at time.Time
		if err := rows.Scan(&tx, &at); err != nil {
			return Pushes{}, db.Fault(err)
		}
		expires[tx] = at
	}
	if err := rows.Err(); err != nil {
		return Pushes{}, db.Fault(err)
	}
	p := Pushes{Prompts: len(expires)}
	least := time.Hour
	for _, r := range s.double.History(fcm.Filter{}) {
		var sent struct {
			Message struct {
				Data map[string]string `json:"data"`
			} `json:"message"`
		}
		if err := json.Unmarshal(r.Request, &sent); err != nil {
			return p, fmt.Errorf("read send %d: %w", r.Seq, err)
		}
		end, known := expires[sent.Message.Data["tx_id"]]
		if !known {
			return p, fmt.Errorf("send %d is about no prompt: %s", r.Seq, r.Request)
		}
		p.Sends++
		left := end.Sub(r.Time)
		least = min(least, left)
		if left < -leeway {
			p.Late++
		}
		if r.Status == http.StatusOK {
			p.Accepted++
			if !r.Time.Before(back) {
				p.Caught++
			}
		}
	}
	p.Latest = least.Seconds()
	if p.Accepted == 0 || p.Sends == p.Accepted {
		return p, fmt.Errorf("%d of %d sends were accepted: there was no outage, or nothing else", p.Accepted, p.Sends)
	}
	return p, nil
}

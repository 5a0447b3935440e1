package bench

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"countersign/authenticators/validate"
	"countersign/cmd/app"
	"countersign/core/db"
	"countersign/core/secret"
	"countersign/core/session"
	"countersign/core/user"
	"countersign/flows"
	"countersign/flows/stages/identification"
	"countersign/flows/stages/userlogin"
	"countersign/mobile/wire"
)

// people is how many users there are, each with a phone, a browser session and a plan.
const people = 10_240

const (
	slug     = "bench"
	executor = "/api/v3/flows/executor/" + slug + "/?query="
	agent    = "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\n"
)

// person is a user with their browser session and their phone.
type person struct {
	name    string
	user    int
	device  uuid.UUID
	path    string // of the phone's answer
	token   string // the device's
	hash    []byte // of token
	session uuid.UUID
	key     string       // key_hash of the session
	browser string       // header lines
	phone   string       // header lines
	ask     []byte       // body that asks the phone and waits
	choose  []byte       // body that asks only, as authentik's own page does
	wait    []byte       // body that waits only
	signer  *wire.Signer // the phone's, where phones sign
	fetch   string       // proof of the phone's next fetching, made beforehand; "" for none
	pushed  chan map[string]string
	looked  chan struct{}
}

// world is the measured server on its PostgreSQL, and its people.
type world struct {
	dir    string
	pg     *db.Managed
	app    *app.App
	addr   string
	log    *os.File
	trace  *tracer
	people []*person
	admin  *pgxpool.Pool
	flow   uuid.UUID
	item   []byte       // the number that every browser shows
	signed bool         // phones sign their answers
	stock  bool         // browsers ask and wait in two requests
	looks  int          // reads of a browser's request before it waits, where it is one that only waits
	nonce  atomic.Value // of the server, the last that a phone heard
	next   atomic.Int64 // the first person whose login is not used up

	stop context.CancelFunc
	ran  chan error
}

func (w *world) postmaster() int { return w.pg.PID() }

// build starts everything. The database keeps to the disk as in production; connections is how many the raw limit needs.
func build(ctx context.Context, dir string, connections int, signed bool) (_ *world, err error) {
	w := &world{dir: dir, trace: &tracer{}, signed: signed}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	data := filepath.Join(dir, "server")
	if err := os.Mkdir(data, 0o755); err != nil {
		return nil, err
	}
	if w.pg, err = db.StartManaged(ctx, db.ManagedOptions{Dir: data, Connections: connections + 60}); err != nil {
		return nil, err
	}
	if w.admin, err = db.Open(ctx, w.pg.URL(), db.Options{MaxConns: 4, Name: "bench", StatementTimeout: -1}); err != nil {
		return nil, err
	}
	if err := w.invent(); err != nil {
		return nil, err
	}
	c := app.Defaults()
	c.Listen, c.DataDir, c.Worker = "127.0.0.1:0", filepath.Join(dir, "keys"), false
	c.Database.URL = w.pg.URL()
	c.Mobile.AnswerWindow = 10 * time.Minute
	c.Push.Queue = 2 * people
	if w.log, err = os.Create(filepath.Join(dir, "access.log")); err != nil {
		return nil, err
	}
	w.app, err = app.Open(ctx, c, app.Options{
		Log: slog.New(slog.NewTextHandler(w.log, nil)), Getenv: func(string) string { return "" },
		Channel: &channel{people: w.people}, Tracer: w.trace,
	})
	if err != nil {
		return nil, err
	}
	w.addr = w.app.Addr().String()
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	w.stop, w.ran = stop, make(chan error, 1)
	go func() { w.ran <- w.app.Run(run) }()
	if err := w.populate(ctx); err != nil {
		return nil, fmt.Errorf("make people: %w", err)
	}
	if err := w.openSessions(ctx); err != nil {
		return nil, fmt.Errorf("open sessions: %w", err)
	}
	if err := w.plan(ctx); err != nil {
		return nil, fmt.Errorf("make plans: %w", err)
	}
	return w, nil
}

func (w *world) close() error {
	var errs []error
	if w.stop != nil {
		w.stop()
		errs = append(errs, <-w.ran)
	}
	if w.app != nil {
		errs = append(errs, w.app.Close())
	}
	if w.admin != nil {
		w.admin.Close()
	}
	if w.pg != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		errs = append(errs, w.pg.Stop(ctx))
	}
	if w.log != nil {
		errs = append(errs, w.log.Close())
	}
	return errors.Join(errs...)
}

// invent makes up the people.
func (w *world) invent() error {
	for i := range people {
		p := &person{
			name: fmt.Sprintf("person-%05d", i), user: 1000 + i, device: uuid.New(), token: secret.Token(40),
			pushed: make(chan map[string]string, 1), looked: make(chan struct{}, 16),
		}
		p.hash = secret.Hash(p.token)
		p.path = "/api/v3/authenticators/mobile/" + p.device.String() + "/" + wire.ActionResponse + "/"
		p.phone = "User-Agent: authenticator/1.0 (ios 17.5)\r\nAccept: application/json\r\nAuthorization: Bearer " + p.token + "\r\n"
		p.choose = fmt.Appendf(nil, `{"component":"%s","selected_challenge":{"device_class":"mobile","device_uid":"%s","challenge":{}}}`, validate.Component, p.device)
		p.wait = fmt.Appendf(nil, `{"component":"%s","mobile":"%s"}`, validate.Component, p.device)
		if w.signed {
			if err := p.arm(); err != nil {
				return err
			}
		}
		w.people = append(w.people, p)
	}
	return nil
}

// populate writes the flow identification → validation → login, the users and their phones.
func (w *world) populate(ctx context.Context) error {
	return db.InTx(ctx, w.admin, func(tx pgx.Tx) error {
		w.flow = uuid.New()
		_, err := tx.Exec(ctx, `INSERT INTO flows (flow_uuid, pbm_uuid, name, slug, title, designation) VALUES ($1, $2, $3, $3, $3, $4)`,
			w.flow, uuid.New(), slug, flows.Authentication)
		if err != nil {
			return err
		}
		for i, s := range []struct {
			kind     string
			settings any
		}{
			{"identificationstage", identification.Settings{UserFields: []identification.UserField{user.ByUsername}, ShowMatched: true}},
			{"authenticatorvalidatestage", validate.Settings{
				NotConfigured: validate.Deny, DeviceClasses: []validate.DeviceClass{"mobile"}, LastAuthThreshold: "seconds=0", UserVerification: "preferred",
			}},
			{"userloginstage", userlogin.Settings{SessionDuration: "seconds=0", RememberOffset: "seconds=0", NetworkBinding: session.NoBinding, GeoIPBinding: session.NoBinding}},
		} {
			id := uuid.New()
			if _, err := tx.Exec(ctx, `INSERT INTO stages (stage_uuid, kind, name, settings) VALUES ($1, $2, $3, $4)`, id, s.kind, "bench-"+s.kind, s.settings); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, `INSERT INTO flow_bindings (fsb_uuid, pbm_uuid, target, stage, "order") VALUES ($1, $2, $3, $4, $5)`, uuid.New(), uuid.New(), w.flow, id, i)
			if err != nil {
				return err
			}
		}
		info := wire.Info{Platform: wire.IOS, OSVersion: "17.5", Model: "iPhone15,2", Hostname: "Phone", AppVersion: "1.0", Others: map[string]any{}}
		for _, t := range []struct {
			table   string
			columns []string
			row     func(p *person) []any
		}{
			{"users", []string{"id", "uuid", "username", "name", "email"}, func(p *person) []any {
				return []any{p.user, uuid.New(), p.name, "Person " + p.name, p.name + "@example.org"}
			}},
			{"mobile_devices", []string{"uuid", "user_id", "name", "confirmed", "device_uid", "info", "push_channel", "push_address"}, func(p *person) []any {
				return []any{p.device, p.user, "Phone", true, p.device.String(), info, "bench", fmt.Sprint(p.user - 1000)}
			}},
			{"mobile_tokens", []string{"token_hash", "device", "purpose"}, func(p *person) []any {
				return []any{p.hash, p.device, "device"}
			}},
			// They have logged in from here before: else they are strangers, of whom a server asks few phones at a time.
			{"mobile_transactions", []string{"tx_id", "device", "user_id", "source", "status", "mode", "items", "correct", "context", "node", "created", "expires", "ring"},
				func(p *person) []any {
					return []any{
						uuid.New(), p.device, p.user, "127.0.0.1", "accept", string(wire.NumberMatching3), []string{}, "", wire.Context{}, uuid.New(),
						time.Now().Add(-time.Hour), time.Now().Add(-time.Hour), int64(1),
					}
				}},
		} {
			_, err := tx.CopyFrom(ctx, pgx.Identifier{t.table}, t.columns, pgx.CopyFromSlice(len(w.people), func(i int) ([]any, error) { return t.row(w.people[i]), nil }))
			if err != nil {
				return fmt.Errorf("%s: %w", t.table, err)
			}
		}
		return w.armed(ctx, tx)
	})
}

// openSessions has every browser ask for the flow, which gives it a session and a plan.
func (w *world) openSessions(ctx context.Context) error {
	var next atomic.Int64
	g, gctx := errgroup.WithContext(ctx)
	for range 32 {
		g.Go(func() error {
			c, err := dial(w.addr)
			if err != nil {
				return err
			}
			defer c.close()
			for gctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(w.people) {
					break
				}
				if err := w.people[i].openSession(c); err != nil {
					return err
				}
			}
			return gctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	rows, err := w.admin.Query(ctx, `SELECT session_uuid, key_hash FROM sessions`)
	if err != nil {
		return err
	}
	byKey := map[string]*person{}
	for _, p := range w.people {
		key, err := p.sessionKey()
		if err != nil {
			return err
		}
		p.key = string(secret.Hash(key))
		byKey[p.key] = p
	}
	var id uuid.UUID
	var hash []byte
	_, err = pgx.ForEachRow(rows, []any{&id, &hash}, func() error {
		if p := byKey[string(hash)]; p != nil {
			p.session = id
		}
		return nil
	})
	return err
}

func (p *person) openSession(c *conn) error {
	if err := c.send("GET", executor, agent+"Accept: application/json\r\n", nil); err != nil {
		return err
	}
	cookie := ""
	status, body, err := c.receive(func(v string) {
		if strings.HasPrefix(v, session.CookieName+"=") {
			cookie, _, _ = strings.Cut(v, ";")
		}
	})
	if err != nil || status != 200 || cookie == "" {
		return fmt.Errorf("begin the flow: status %d, cookie %q: %.300s: %w", status, cookie, body, err)
	}
	p.browser = agent + "Accept: application/json\r\nAccept-Language: en\r\nCookie: " + cookie + "\r\n"
	return nil
}

// sessionKey reads the sid of the cookie, by which the database knows the session.
func (p *person) sessionKey() (string, error) {
	parts := strings.Split(p.browser, ".")
	if len(parts) < 3 {
		return "", errors.New("the session cookie is no JWT")
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[len(parts)-2])
	if err != nil {
		return "", fmt.Errorf("read session cookie: %w", err)
	}
	var claims struct {
		SID string `json:"sid"`
	}
	return claims.SID, json.Unmarshal(raw, &claims)
}

// plan walks the first person to the validation stage and gives everybody else the same plan, with their own user and
// phone. bench_plans keeps them, so that the logins can be used again.
func (w *world) plan(ctx context.Context) error {
	p := w.people[0]
	c, err := dial(w.addr)
	if err != nil {
		return err
	}
	defer c.close()
	if err := c.send("POST", executor, p.browser, []byte(`{"component":"ak-stage-identification","uid_field":"`+p.name+`"}`)); err != nil {
		return err
	}
	if _, err := c.expect(302); err != nil {
		return err
	}
	if err := c.send("GET", executor, p.browser, nil); err != nil {
		return err
	}
	body, err := c.expect(200)
	if err != nil {
		return err
	}
	if w.item = itemOf(body); w.item == nil {
		return fmt.Errorf("the validation stage shows no number: %.300s", body)
	}
	for _, p := range w.people { // their plans are copies, so that they are shown the same number
		p.ask = fmt.Appendf(nil, `{"component":"%s","selected_challenge":{"device_class":"mobile","device_uid":"%s","challenge":{"item":"%s"}},"mobile":"%s"}`,
			validate.Component, p.device, w.item, p.device)
	}
	sessions, users, devices := make([]uuid.UUID, people), make([]int, people), make([]string, people)
	for i, p := range w.people {
		sessions[i], users[i], devices[i] = p.session, p.user, p.device.String()
	}
	_, err = w.admin.Exec(ctx, `CREATE TABLE bench_plans AS
		SELECT n.session_uuid, jsonb_set(jsonb_set(t.plan, '{context,pending_user}', to_jsonb(n.user_id)),
			'{steps,0,state,offers,0,uid}', to_jsonb(n.device)) AS plan
		FROM flow_plans t, unnest($2::uuid[], $3::int[], $4::text[]) AS n(session_uuid, user_id, device)
		WHERE t.session_uuid = $1 AND t.flow_uuid = $5`, p.session, sessions, users, devices, w.flow)
	if err != nil {
		return err
	}
	if _, err := w.admin.Exec(ctx, `ALTER TABLE bench_plans ADD PRIMARY KEY (session_uuid)`); err != nil {
		return err
	}
	w.next.Store(people)
	if err := w.renew(ctx); err != nil {
		return err
	}
	_, err = w.admin.Exec(ctx, `VACUUM ANALYZE`)
	return err
}

// renew makes the used logins new: the plan is at the validation stage again, the session was just used.
func (w *world) renew(ctx context.Context) error {
	used := make([]uuid.UUID, 0, people)
	for _, p := range w.people[:min(w.next.Load(), people)] {
		used = append(used, p.session)
	}
	w.next.Store(0)
	if len(used) == 0 {
		return nil
	}
	for _, sql := range []string{
		`UPDATE flow_plans p SET plan = b.plan, version = 1, updated = now() FROM bench_plans b
			WHERE p.session_uuid = b.session_uuid AND p.session_uuid = ANY($1)`,
		`UPDATE sessions SET last_used = now(), expires = now() + interval '1 hour' WHERE session_uuid = ANY($1)`,
	} {
		if _, err := w.admin.Exec(ctx, sql, used); err != nil {
			return err
		}
	}
	return w.foresee(w.people[:len(used)])
}

// login gives the next person whose login is new; nil when all are used up.
func (w *world) login() *person {
	i := int(w.next.Add(1)) - 1
	if i >= people {
		return nil
	}
	return w.people[i]
}

package flowtest

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/core/api/schema"
	"countersign/core/db"
	"countersign/core/dbtest"
	"countersign/core/event"
	"countersign/core/secret"
	"countersign/core/session"
	"countersign/core/token"
	"countersign/core/user"
	"countersign/core/user/usertest"
	"countersign/flows"
)

// Clock is a clock that stands until it is moved.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// Now is the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock on.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Bench is an engine with all that it stands on.
type Bench struct {
	Pool     *pgxpool.Pool // the server's, behind the gate
	Direct   *pgxpool.Pool // the test's own
	Gate     *Gate
	Clock    *Clock
	Users    *user.Store
	Sessions *session.Store
	Tokens   *token.Store
	Events   *event.Log
	Keeper   *secret.Keeper
	Log      *slog.Logger
	Kinds    []*flows.Kind
	Engine   *flows.Engine

	schemas *schema.Set
}

// New makes a bench with the kinds that make gives; make may use everything but Engine.
func New(t testing.TB, make func(b *Bench) []*flows.Kind) *Bench {
	t.Helper()
	direct := dbtest.Pool(t)
	b := &Bench{
		Direct: direct, Clock: &Clock{now: time.Now().UTC().Truncate(time.Second)}, schemas: schema.NewSet(),
		Log: slog.New(slog.DiscardHandler),
	}
	cfg := direct.Config()
	b.Gate = &Gate{dial: cfg.ConnConfig.DialFunc}
	cfg.ConnConfig.DialFunc = b.Gate.connect
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	b.Pool, b.Gate.pool = pool, pool
	if b.Keeper, err = secret.New(strings.Repeat("k", secret.MinKey)); err != nil {
		t.Fatal(err)
	}
	b.Users = usertest.Store(t, pool, b.Clock.Now)
	b.Events = b.Users.Events
	b.Sessions = &session.Store{Pool: pool, Users: b.Users, Events: b.Events, Key: b.Keeper.Derive("session"), Now: b.Clock.Now, Log: b.Log}
	b.Tokens = &token.Store{Pool: pool, Users: b.Users, Events: b.Events, Keeper: b.Keeper, Now: b.Clock.Now}
	b.Kinds = make(b)
	b.Engine = b.NewEngine()
	return b
}

// NewEngine is one more engine on the same database: another server node.
func (b *Bench) NewEngine() *flows.Engine {
	return flows.New(flows.Options{Pool: b.Pool, Users: b.Users, Events: b.Events, Kinds: b.Kinds, Log: b.Log, Now: b.Clock.Now})
}

// Step is one stage of a flow, with its binding.
type Step struct {
	Kind      string // model name
	Settings  any    // nil: {}
	OnInvalid string // default retry
	Stage     uuid.UUID
}

// Flow makes a flow of steps. change, if not nil, sets other fields than slug, name, title and designation
// (authentication).
func (b *Bench) Flow(t testing.TB, slug string, change func(*flows.Flow), steps ...Step) *flows.Flow {
	t.Helper()
	f := &flows.Flow{
		PK: uuid.New(), PBM: uuid.New(), Slug: slug, Name: slug, Title: slug, Designation: flows.Authentication,
		DeniedAction: flows.DeniedMessageContinue, Authentication: flows.RequireNone, Layout: "stacked",
	}
	if change != nil {
		change(f)
	}
	b.Exec(t, `INSERT INTO flows (flow_uuid, pbm_uuid, name, slug, title, designation, denied_action, authentication, layout, background)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		f.PK, f.PBM, f.Name, f.Slug, f.Title, f.Designation, f.DeniedAction, f.Authentication, f.Layout, f.StoredPicture)
	for i, s := range steps {
		if s.Stage == uuid.Nil {
			s.Stage = b.Stage(t, s.Kind, s.Settings)
		}
		if s.OnInvalid == "" {
			s.OnInvalid = "retry"
		}
		b.Exec(t, `INSERT INTO flow_bindings (fsb_uuid, pbm_uuid, target, stage, "order", invalid_response_action) VALUES ($1, $2, $3, $4, $5, $6)`,
			uuid.New(), uuid.New(), f.PK, s.Stage, i, s.OnInvalid)
	}
	return f
}

// Stage makes a stage that no flow has yet.
func (b *Bench) Stage(t testing.TB, kind string, settings any) uuid.UUID {
	t.Helper()
	if settings == nil {
		settings = struct{}{}
	}
	raw, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	id := uuid.New()
	b.Exec(t, `INSERT INTO stages (stage_uuid, kind, name, settings) VALUES ($1, $2, $3, $4)`, id, kind, kind+" "+id.String(), raw)
	return id
}

// Exec changes the database behind the server's back.
func (b *Bench) Exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	if _, err := b.Direct.Exec(context.Background(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// Count is the one number that a query gives.
func (b *Bench) Count(t testing.TB, sql string, args ...any) (n int) {
	t.Helper()
	if err := b.Direct.QueryRow(context.Background(), sql, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Stored is a plan as it is in the database.
type Stored struct {
	flows.Plan
	Version int64
	Raw     []byte
}

// Plan reads the stored plan of a browser in a flow; nil if there is none.
func (b *Bench) Plan(t testing.TB, br *Browser, slug string) *Stored {
	t.Helper()
	var s Stored
	err := b.Direct.QueryRow(context.Background(), `SELECT p.version, p.plan FROM flow_plans p JOIN flows f USING (flow_uuid)
		WHERE p.session_uuid = $1 AND f.slug = $2`, br.Session, slug).Scan(&s.Version, &s.Raw)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(s.Raw, &s.Plan); err != nil {
		t.Fatal(err)
	}
	return &s
}

// Start plans a flow for a browser with a context, as pages outside a flow do.
func (b *Bench) Start(t testing.TB, br *Browser, slug string, given flows.Context) {
	t.Helper()
	ctx := context.Background()
	sess := br.load(t)
	cat, err := b.Engine.Fresh(ctx)
	if err != nil {
		t.Fatal(err)
	}
	err = db.InTx(ctx, b.Direct, func(tx pgx.Tx) error {
		return b.Engine.Start(ctx, tx, cat, cat.Slug(slug), sess, given)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Snapshot is a digest of every table but the plans, to see that nothing was changed.
func (b *Bench) Snapshot(t testing.TB) map[string]string {
	t.Helper()
	ctx := context.Background()
	rows, _ := b.Direct.Query(ctx, `SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'flow_plans'`)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, n := range names {
		var digest string
		err := b.Direct.QueryRow(ctx, `SELECT count(*) || ' ' || coalesce(md5(string_agg(x::text, '|' ORDER BY x::text)), '') FROM `+
			pgx.Identifier{n}.Sanitize()+` x`).Scan(&digest)
		if err != nil {
			t.Fatal(err)
		}
		out[n] = digest
	}
	return out
}

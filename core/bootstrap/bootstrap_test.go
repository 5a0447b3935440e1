package bootstrap_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/core/bootstrap"
	"countersign/core/dbtest"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/core/secret"
	"countersign/core/user"
	"countersign/core/user/usertest"
)

type bundle struct {
	*bootstrap.Service
	users *user.Store
	mu    sync.Mutex
	at    time.Time
}

func (b *bundle) now() time.Time { b.mu.Lock(); defer b.mu.Unlock(); return b.at }

func (b *bundle) forward(d time.Duration) { b.mu.Lock(); defer b.mu.Unlock(); b.at = b.at.Add(d) }

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{at: time.Now()}
	b.users = usertest.Store(t, dbtest.Pool(t), b.now)
	keeper, err := secret.New(strings.Repeat("k", secret.MinKey))
	if err != nil {
		t.Fatal(err)
	}
	b.Service = &bootstrap.Service{Pool: b.users.Pool, Hasher: b.users.Hasher, Events: &event.Log{Now: b.now}, Keeper: keeper, Now: b.now}
	return b
}

func (b *bundle) run(t *testing.T, given bootstrap.Given) bootstrap.Result {
	t.Helper()
	r, err := b.Run(context.Background(), given)
	if err != nil {
		t.Fatalf("run: %v", err)
	}
	return r
}

func (b *bundle) count(t *testing.T, from string, args ...any) int {
	t.Helper()
	var n int
	if err := b.Pool.QueryRow(context.Background(), `SELECT count(*) FROM `+from, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func (b *bundle) passwordIs(t *testing.T, password string) bool {
	t.Helper()
	ctx := context.Background()
	u, err := b.users.Find(ctx, b.Pool, bootstrap.AdminUser, []string{user.ByUsername}, false)
	if err != nil {
		t.Fatal(err)
	}
	ok, err := b.users.CheckPassword(ctx, u, password)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func TestFirstStartOfSeveralNodes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var wg sync.WaitGroup
	results := make(chan bootstrap.Result, 6)
	for range 6 {
		wg.Go(func() {
			r, err := b.Run(context.Background(), bootstrap.Given{})
			if err != nil {
				t.Error(err)
			}
			results <- r
		})
	}
	wg.Wait()
	close(results)
	fresh, links := 0, 0
	var first bootstrap.Result
	for r := range results {
		if r.Fresh {
			fresh++
		}
		if r.SetupToken != "" {
			links++
			first = r
		} else if !r.LinkElsewhere {
			t.Error("no link and no word of one")
		}
	}
	if fresh != 1 || links != 1 {
		t.Fatalf("%d fresh, %d links; want one of each", fresh, links)
	}
	if err := b.Check(context.Background(), first.SetupToken); err != nil {
		t.Errorf("the printed link: %v", err)
	}
	for from, want := range map[string]int{
		`users WHERE username = 'akadmin' AND name = 'authentik Default Admin' AND email = 'root@example.com' AND password IS NULL AND user_is_superuser(id)`: 1,
		`users`: 1, `groups WHERE name = 'authentik Admins' AND is_superuser`: 1, `brands WHERE domain = 'authentik-default' AND is_default`: 1,
		`brands`: 1, `tokens`: 0, `installation`: 1, `events WHERE action = 'model_created'`: 2,
	} {
		if got := b.count(t, from); got != want {
			t.Errorf("%s: %d; want %d", from, got, want)
		}
	}
	if b.count(t, `installation WHERE encode(setup_hash, 'escape') = $1`, first.SetupToken) != 0 {
		t.Error("the link's secret is stored as it is")
	}
}

func TestSetupLink(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), context.Background()
	r := b.run(t, bootstrap.Given{})
	if err := b.Setup(ctx, r.SetupToken, "me@example.com", "short"); !fault.Is(err, fault.Invalid) {
		t.Errorf("a short password: %v", err)
	}
	if err := b.Setup(ctx, r.SetupToken, "nowhere", "correct horse"); !fault.Is(err, fault.Invalid) || fault.As(err).Fields["email"] == nil {
		t.Errorf("a bad address: %v", err)
	}
	for _, wrong := range []string{"", "x", r.SetupToken + "x"} {
		if err := b.Setup(ctx, wrong, "me@example.com", "correct horse"); !fault.Is(err, fault.NotFound) {
			t.Errorf("link %q: %v; want not found", wrong, err)
		}
	}
	var wg sync.WaitGroup
	done := make(chan error, 4)
	for range 4 {
		wg.Go(func() { done <- b.Setup(ctx, r.SetupToken, "me@example.com", "correct horse") })
	}
	wg.Wait()
	close(done)
	used := 0
	for err := range done {
		if err == nil {
			used++
		} else if !fault.Is(err, fault.NotFound) {
			t.Errorf("second use: %v", err)
		}
	}
	if used != 1 || !b.passwordIs(t, "correct horse") || b.count(t, `users WHERE email = 'me@example.com'`) != 1 {
		t.Errorf("the link was used %d times", used)
	}
	if err := b.Check(ctx, r.SetupToken); !fault.Is(err, fault.NotFound) {
		t.Errorf("a used link: %v", err)
	}
	b.forward(time.Hour)
	if again := b.run(t, bootstrap.Given{}); again.SetupToken != "" || again.LinkElsewhere || again.Fresh || again.InstallID != r.InstallID {
		t.Errorf("the next start: %+v", again)
	}
	if _, err := b.NewLink(ctx); !fault.Is(err, fault.Conflict) {
		t.Errorf("a new link when all is set up: %v", err)
	}
}

func TestLinkExpiresAndIsReplaced(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), context.Background()
	first := b.run(t, bootstrap.Given{}).SetupToken
	b.forward(2 * time.Minute)
	second := b.run(t, bootstrap.Given{}).SetupToken
	if second == "" || b.Check(ctx, first) == nil || b.Check(ctx, second) != nil {
		t.Error("a restart must make a new link and void the old one")
	}
	third, err := b.NewLink(ctx)
	if err != nil || b.Check(ctx, second) == nil || b.Check(ctx, third) != nil {
		t.Errorf("a link by an operator's word: %v", err)
	}
	b.forward(bootstrap.LinkLifetime)
	if b.Check(ctx, third) == nil || !fault.Is(b.Setup(ctx, third, "me@example.com", "correct horse"), fault.NotFound) {
		t.Error("a link outlived its day")
	}
	fourth := b.run(t, bootstrap.Given{}).SetupToken
	b.run(t, bootstrap.Given{Password: "from the environment"})
	if b.Check(ctx, fourth) == nil || !fault.Is(b.Setup(ctx, fourth, "me@example.com", "correct horse"), fault.NotFound) {
		t.Error("the link is good although there is a password")
	}
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t), context.Background()
	if _, err := b.Run(ctx, bootstrap.Given{Password: "short"}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a short password: %v", err)
	}
	if b.count(t, `installation`)+b.count(t, `users`) != 0 {
		t.Error("a refused start left something behind")
	}
	env := map[string]string{"AUTHENTIK_BOOTSTRAP_PASSWORD": "correct horse", "AUTHENTIK_BOOTSTRAP_TOKEN": "the-token", "AUTHENTIK_BOOTSTRAP_EMAIL": "me@example.com"}
	given := bootstrap.FromEnvironment(func(k string) string { return env[k] })
	r := b.run(t, given)
	if !r.Fresh || r.SetupToken != "" || !b.passwordIs(t, "correct horse") || b.count(t, `users WHERE email = 'me@example.com'`) != 1 {
		t.Errorf("result: %+v", r)
	}
	if b.count(t, `tokens WHERE identifier = 'authentik-bootstrap-token' AND intent = 'api' AND NOT expiring AND key_hash = sha256('the-token')`) != 1 {
		t.Error("no such token")
	}
	given.Password = "another password"
	b.run(t, given)
	if !b.passwordIs(t, "correct horse") || b.count(t, `tokens`) != 1 {
		t.Error("a second start changed something")
	}
	if _, err := b.Pool.Exec(ctx, `DELETE FROM users`); err != nil {
		t.Fatal(err)
	}
	b.forward(time.Hour)
	r = b.run(t, given)
	if b.count(t, `users`) != 0 || r.SetupToken == "" {
		t.Error("akadmin was made again, or there is no way back in")
	}
	if err := b.Setup(ctx, r.SetupToken, "me@example.com", "correct horse"); err != nil || b.count(t, `users WHERE username = 'akadmin' AND user_is_superuser(id)`) != 1 {
		t.Errorf("set up again: %v", err)
	}
}

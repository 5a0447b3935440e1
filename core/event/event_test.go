package event_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"countersign/core/db"
	"countersign/core/dbtest"
	"countersign/core/event"
	"countersign/core/rbac"
)

var (
	now     = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	modelID = uuid.MustParse("0190a0b0-c0d0-7000-8000-0102030405ff")
)

func log() *event.Log {
	return &event.Log{Retention: 24 * time.Hour, Now: func() time.Time { return now }}
}

func withOrigin(ctx context.Context) context.Context {
	brand := event.Model(modelID, "authentik_brands", "brand", "Default brand")
	return event.WithOrigin(ctx, &event.Origin{
		RequestID: "r-1", ClientIP: netip.MustParseAddr("::ffff:192.0.2.7"), UserAgent: "Browser/1", Method: "POST",
		Path: "/api/v3/core/users/", Query: url.Values{"next": {"/a", "/b"}, "token": {"hush"}}, Host: "id.example", Scheme: "https",
		Actor: &rbac.Actor{ID: 7, Username: "ada", Email: "ada@example.org"}, Brand: &brand,
	})
}

func TestEmit(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	ctx := withOrigin(t.Context())
	err := log().Emit(ctx, pool, event.Event{
		Action: event.ModelCreated, App: "authentik.core",
		Context: map[string]any{"model": event.Model(modelID, "authentik_core", "token", "t"), "key": "hush"},
	})
	if err != nil {
		t.Fatal(err)
	}
	var (
		id                   uuid.UUID
		action, app, ip      string
		context, user, brand map[string]any
		created, expires     time.Time
	)
	row := pool.QueryRow(ctx, `SELECT event_uuid, action, app, client_ip, context, "user", brand, created, expires FROM events`)
	if err := row.Scan(&id, &action, &app, &ip, &context, &user, &brand, &created, &expires); err != nil {
		t.Fatal(err)
	}
	if id.Version() != 7 || action != "model_created" || app != "authentik.core" || ip != "192.0.2.7" {
		t.Errorf("id %v, action %s, app %s, ip %s", id, action, app, ip)
	}
	if !created.Equal(now) || expires.Sub(created) != 24*time.Hour {
		t.Errorf("created %v, expires %v", created, expires)
	}
	want(t, "user", user, `{"pk": 7, "username": "ada", "email": "ada@example.org"}`)
	want(t, "brand", brand, `{"pk": "0190a0b0c0d0700080000102030405ff", "app": "authentik_brands", "name": "Default brand", "model_name": "brand"}`)
	want(t, "context", context, `{
		"model": {"pk": "0190a0b0c0d0700080000102030405ff", "app": "authentik_core", "name": "t", "model_name": "token"},
		"key": "********************",
		"http_request": {"path": "/api/v3/core/users/", "method": "POST", "user_agent": "Browser/1", "request_id": "r-1",
			"args": {"next": "/b", "token": "********************"}}}`)
}

func want(t *testing.T, what string, got any, wantJSON string) {
	t.Helper()
	var w any
	if err := json.Unmarshal([]byte(wantJSON), &w); err != nil {
		t.Fatal(err)
	}
	data, _ := json.Marshal(got)
	var g any
	_ = json.Unmarshal(data, &g)
	if !reflect.DeepEqual(g, w) {
		t.Errorf("%s = %s, want %s", what, data, wantJSON)
	}
}

func TestEmitWithoutOrigin(t *testing.T) {
	t.Parallel()
	args, err := log().Args(t.Context(), event.Event{Action: event.SystemTaskException})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range map[int]string{3: "{}", 4: "{}", 5: "{}"} {
		if got := string(args[i].(json.RawMessage)); got != want {
			t.Errorf("argument %d = %s, want %s", i, got, want)
		}
	}
	if args[6] != "255.255.255.255" {
		t.Errorf("client_ip = %v", args[6])
	}
	if _, err := log().Args(t.Context(), event.Event{}); err == nil {
		t.Error("an event without an action passes")
	}
	if event.From(t.Context()) == nil {
		t.Error("From is nil")
	}
}

func TestUserOverridesActor(t *testing.T) {
	t.Parallel()
	user := &event.User{PK: 9, Username: "claimed\x00\\u0000", Email: "", OnBehalfOf: &event.User{PK: 1, Username: "x"}}
	args, err := log().Args(withOrigin(t.Context()), event.Event{Action: event.LoginFailed, User: user})
	if err != nil {
		t.Fatal(err)
	}
	want(t, "user", args[4], `{"pk": 9, "username": "claimed\\u0000", "email": "", "on_behalf_of": {"pk": 1, "username": "x", "email": ""}}`)
	if event.ActorUser(nil) != nil {
		t.Error("nobody is somebody")
	}
}

func TestContextIsSanitised(t *testing.T) {
	t.Parallel()
	type inner struct {
		Name         string `json:"name"`
		ClientSecret string `json:"client_secret"`
	}
	const stars = `"********************"`
	deep := any("end")
	for range 50 {
		deep = map[string]any{"d": deep}
	}
	in := map[string]any{
		"password": "hunter2", "Authorization": "Bearer x", "api_key": 5, "tokens": []any{"a"}, "nothing": nil,
		"token":       map[string]any{"pk": 3, "key": "hush"},
		"auth_method": "password", "auth_method_args": map[string]any{"password_hash": "x"}, "passing": true,
		"struct": inner{Name: "n", ClientSecret: "hush"}, "list": []inner{{Name: "m", ClientSecret: "hush"}},
		"id": modelID, "at": time.Date(2026, 1, 2, 3, 4, 5, 6000, time.FixedZone("", 3600)), "took": 1500 * time.Millisecond,
		"error": errors.New("boom"), "nul": "a\x00b\\u0000c", "big": int64(9007199254740993), "bad utf8": "a\xff",
	}
	args, err := log().Args(t.Context(), event.Event{Action: event.Login, Context: in})
	if err != nil {
		t.Fatal(err)
	}
	want(t, "context", args[3], `{
		"password": `+stars+`, "Authorization": `+stars+`, "api_key": `+stars+`, "tokens": `+stars+`, "nothing": null,
		"token": {"pk": 3, "key": `+stars+`},
		"auth_method": "password", "auth_method_args": {"password_hash": `+stars+`}, "passing": true,
		"struct": {"name": "n", "client_secret": `+stars+`}, "list": [{"name": "m", "client_secret": `+stars+`}],
		"id": "0190a0b0c0d0700080000102030405ff", "at": "2026-01-02T02:04:05.000006Z", "took": "1.5",
		"error": "boom", "nul": "ab\\u0000c", "big": 9007199254740993, "bad utf8": "a\ufffd"}`)
	if in["password"] != "hunter2" || len(in) != 18 {
		t.Error("the caller's map was changed")
	}

	args, err = log().Args(t.Context(), event.Event{Action: event.Login, Context: map[string]any{
		"deep": deep, "long": strings.Repeat("ß", 100_000), "many": make([]any, 100_000)}})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(args[3].(json.RawMessage)); n > 12_000 {
		t.Errorf("a hostile context became %d bytes", n)
	}
	if _, err := log().Args(t.Context(), event.Event{Action: event.Login, Context: map[string]any{"f": func() {}}}); err == nil {
		t.Error("a function passes as JSON")
	}
}

// TestInsertInABatchOfTheCaller is how a hot path uses Args: renumbered, beside arguments of its own.
func TestInsertInABatchOfTheCaller(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	args, err := log().Args(t.Context(), event.Event{Action: event.Custom + "thing"})
	if err != nil {
		t.Fatal(err)
	}
	sql := "WITH e AS (" + db.Renumber(event.InsertSQL, 2) + " RETURNING action) SELECT action || $1 FROM e"
	var got string
	if err := pool.QueryRow(t.Context(), sql, append([]any{"!"}, args...)...).Scan(&got); err != nil || got != "custom_thing!" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestBeside: a statement beside an event happens with it, in one statement, or not at all.
func TestBeside(t *testing.T) {
	t.Parallel()
	pool, l, boom := dbtest.Pool(t), log(), errors.New("boom")
	l.Beside = func(_ context.Context, e event.Event) (string, []any, error) {
		switch e.Owner {
		case 0:
			return "", nil, nil
		case 13:
			return "", nil, boom
		}
		return `INSERT INTO groups (group_uuid, name) SELECT $1::uuid, 'it''s $1 of ' || $2::text`, []any{modelID, e.Context["name"]}, nil
	}
	if sql, args, err := l.Statement(t.Context(), event.Event{Action: event.Login}); sql != event.InsertSQL || len(args) != 9 || err != nil {
		t.Errorf("without: %q, %v, %v", sql, args, err)
	}
	if err := l.Emit(t.Context(), pool, event.Event{Action: event.Login, Owner: 13}); !errors.Is(err, boom) {
		t.Errorf("Beside's error: %v", err)
	}
	e := event.Event{Action: event.Logout, Owner: 1, Context: map[string]any{"name": "ada"}}
	if err := l.Emit(t.Context(), pool, e); err != nil {
		t.Fatal(err)
	}
	if err := l.Emit(t.Context(), pool, e); err == nil { // the key of the group is taken
		t.Error("an event is written without what is beside it")
	}
	var events int
	var name string
	if err := pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM events), name FROM groups`).Scan(&events, &name); err != nil || events != 1 || name != "it's $1 of ada" {
		t.Errorf("%d events, %q, %v", events, name, err)
	}
}

func TestActions(t *testing.T) {
	t.Parallel()
	all := event.Actions()
	if len(all) != 27 || all[0] != event.Login || all[26] != event.Custom {
		t.Errorf("%d actions: %v", len(all), all)
	}
	if enum := event.Login.Enum(); len(enum) != 27 || enum[26] != "custom_" {
		t.Errorf("enum %v", enum)
	}
	for action, label := range map[event.Action]string{event.LoginFailed: "Login Failed", event.InvitationUsed: "Invite Used", event.Custom: "Custom Prefix", "custom_x": "custom_x"} {
		if action.Label() != label {
			t.Errorf("%s: %q", action, action.Label())
		}
	}
}

func FuzzContext(f *testing.F) {
	f.Add("password", "x", "\\u0000\x00")
	f.Add("k", strings.Repeat("é", 5000), "\xff")
	l := log()
	f.Fuzz(func(t *testing.T, key, a, b string) {
		args, err := l.Args(context.Background(), event.Event{Action: event.Login, Context: map[string]any{key: a, "list": []string{b, a}}})
		if err != nil {
			t.Fatal(err)
		}
		data := args[3].(json.RawMessage)
		var back map[string]any
		if err := json.Unmarshal(data, &back); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		var walk func(v any)
		walk = func(v any) {
			switch v := v.(type) {
			case string:
				if strings.ContainsRune(v, 0) {
					t.Fatalf("U+0000 in %q", v)
				}
			case []any:
				for _, x := range v {
					walk(x)
				}
			case map[string]any:
				for k, x := range v {
					walk(k)
					walk(x)
				}
			}
		}
		walk(back)
	})
}

package executor_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/authenticators"
	"countersign/authenticators/validate"
	"countersign/core/api"
	"countersign/core/db"
	"countersign/core/fault"
	"countersign/core/resource"
	"countersign/core/session"
	"countersign/core/token"
	"countersign/core/user/usertest"
	"countersign/flows"
	"countersign/flows/executor"
	"countersign/flows/flowtest"
	"countersign/flows/stages/identification"
	"countersign/flows/stages/password"
	"countersign/flows/stages/userlogin"
	"countersign/flows/stages/userlogout"
)

const (
	loginSlug = "default-authentication-flow"
	bodyLimit = 64 << 10
)

// site is an executor over HTTP, with the default flows and the user ann.
type site struct {
	*flowtest.Bench
	server    *httptest.Server
	handler   http.Handler
	brand     executor.Brand
	login     *flows.Flow
	logout    *flows.Flow
	password  uuid.UUID // stage
	key, root string    // API tokens of ann and of a superuser
}

func newSite(t testing.TB) *site {
	t.Helper()
	x := &site{}
	x.Bench = flowtest.New(t, func(b *flowtest.Bench) []*flows.Kind {
		marker := &flowtest.Marker{}
		return []*flows.Kind{
			identification.Kind(b.Users), password.Kind(b.Users, b.Tokens), userlogin.Kind(b.Sessions), userlogout.Kind(b.Sessions),
			validate.Kind(authenticators.NewStore(), b.Users, b.Keeper), marker.Kind("marker"),
		}
	})
	a := api.New(api.Options{
		BodyLimit: bodyLimit, Authenticators: []api.Authenticator{x.Tokens.Authenticate, x.Sessions.Authenticate},
	})
	registry := resource.New(a, x.Pool, x.Events)
	real := x.Kinds[:len(x.Kinds)-1] // the marker has no resource
	flows.MountFlows(registry)
	flows.MountStages(a, registry, x.Pool, real)
	flows.MountBindings(registry, real)
	if err := registry.Finish(); err != nil {
		t.Fatal(err)
	}
	executor.Mount(a, executor.Options{
		Engine: x.Engine, Sessions: x.Sessions, Pool: x.Pool, Bearer: x.Tokens.Authenticate, Kinds: real,
		Brand: func(context.Context, string) (executor.Brand, error) { return x.brand, nil },
		Page: func(r *api.Request, f *flows.Flow) {
			r.CSRF()
			_, _ = io.WriteString(r.Writer, "page of "+f.Slug)
		},
		ErrorPage: func(r *api.Request, err error) { r.Writer.WriteHeader(fault.As(err).Status()) },
	})
	var err error
	if x.handler, err = a.Handler(); err != nil {
		t.Fatal(err)
	}
	x.server = httptest.NewServer(x.handler)
	t.Cleanup(x.server.Close)
	x.seed(t)
	return x
}

func (x *site) seed(t testing.TB) {
	t.Helper()
	ann, root := usertest.Add(t, x.Users, "ann", "correct"), usertest.Add(t, x.Users, "root", "correct")
	usertest.Superuser(t, x.Users, root)
	x.password = x.Stage(t, "passwordstage", password.Settings{Backends: []password.Backend{password.Inbuilt}, MaxFailures: 5})
	x.login = x.Flow(t, loginSlug, func(f *flows.Flow) { f.Title = "Welcome" },
		flowtest.Step{Kind: "identificationstage", Settings: identification.Settings{
			UserFields: []identification.UserField{"email", "username"}, FoldCase: true, ShowMatched: true, Pretend: true,
		}},
		flowtest.Step{Stage: x.password},
		flowtest.Step{Kind: "authenticatorvalidatestage", Settings: validate.Settings{
			NotConfigured: validate.Skip, DeviceClasses: validate.AllClasses(), LastAuthThreshold: "seconds=0", UserVerification: "preferred",
		}},
		flowtest.Step{Kind: "userloginstage", Settings: userlogin.Settings{
			SessionDuration: "seconds=0", RememberOffset: "seconds=0", NetworkBinding: session.NoBinding, GeoIPBinding: session.NoBinding,
		}})
	x.logout = x.Flow(t, "default-invalidation-flow", func(f *flows.Flow) { f.Designation = flows.Invalidation }, flowtest.Step{Kind: "userlogoutstage"})
	for id, key := range map[int]*string{ann.ID: &x.key, root.ID: &x.root} {
		err := db.InTx(context.Background(), x.Direct, func(tx pgx.Tx) (err error) {
			*key, err = x.Tokens.Issue(context.Background(), tx, &token.Token{Identifier: uuid.NewString(), Intent: token.API, User: id}, "")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// client is a browser that follows no redirect by itself.
type client struct {
	*http.Client
	t    testing.TB
	site *site
}

func (x *site) client(t testing.TB) *client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &client{t: t, site: x, Client: &http.Client{
		Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// answer is a response, read.
type answer struct {
	*http.Response
	text string
	json map[string]any
}

func (a answer) component() string {
	s, _ := a.json["component"].(string)
	return s
}

func (a answer) code(field string) string {
	errs, _ := a.json["response_errors"].(map[string]any)
	list, _ := errs[field].([]any)
	if len(list) != 1 {
		return ""
	}
	one, _ := list[0].(map[string]any)
	s, _ := one["code"].(string)
	return s
}

// do sends a request. A body that is no string is sent as JSON; change may alter the request.
func (c *client) do(method, path string, body any, change func(*http.Request)) answer {
	c.t.Helper()
	var in io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		in = strings.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			c.t.Fatal(err)
		}
		in = strings.NewReader(string(raw))
	}
	r, err := http.NewRequestWithContext(context.Background(), method, c.site.server.URL+path, in)
	if err != nil {
		c.t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if change != nil {
		change(r)
	}
	resp, err := c.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	a := answer{Response: resp, text: string(text)}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(text, &a.json); err != nil {
			c.t.Fatalf("not JSON: %s", text)
		}
	}
	return a
}

func at(slug, query string) string { return "/api/v3/flows/executor/" + slug + "/" + query }

// logIn walks the default flow to its end.
func (c *client) logIn(name string) {
	c.t.Helper()
	c.do(http.MethodPost, at(loginSlug, ""), map[string]any{"uid_field": name}, nil)
	c.do(http.MethodPost, at(loginSlug, ""), map[string]any{"password": "correct"}, nil)
	if a := c.follow(""); a.component() != flows.ComponentRedirect {
		c.t.Fatalf("login of %s: %d %s", name, a.StatusCode, a.text)
	}
}

// follow gets until there is something to see.
func (c *client) follow(query string) answer {
	c.t.Helper()
	for range 10 {
		if a := c.do(http.MethodGet, at(loginSlug, query), nil, nil); a.StatusCode != http.StatusFound {
			return a
		}
	}
	c.t.Fatal("the flow does not come to an end")
	return answer{}
}

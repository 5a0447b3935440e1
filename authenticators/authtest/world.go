package authtest

import (
	"context"
	"net/http"
	"strconv"
	"testing"

	"countersign/authenticators"
	"countersign/authenticators/validate"
	"countersign/core/api"
	"countersign/core/event"
	"countersign/core/rbac"
	"countersign/core/resource"
	"countersign/core/resourcetest"
	"countersign/core/user"
	"countersign/core/user/usertest"
	"countersign/flows"
	"countersign/flows/flowtest"
)

const (
	setUpFlow = "set-up"
	loginFlow = "login"
	finished  = "finished" // the stage behind the set-up
	marker    = "marker"   // the stage behind the login
)

// world is one bench with a flow that sets the kind up and one that asks for it.
type world struct {
	*flowtest.Bench
	Subject
	store  *authenticators.Store
	after  *flowtest.Marker // behind the validation stage
	second *flows.Engine    // another node
	pages  string           // the component of the set-up stage
	as     func(*user.User) resourcetest.Client
}

func (s Suite) world(t testing.TB) *world {
	t.Helper()
	w := &world{after: &flowtest.Marker{}}
	w.Bench = flowtest.New(t, func(b *flowtest.Bench) []*flows.Kind {
		w.Subject = s.New(t, b)
		w.store = authenticators.NewStore(w.Kind)
		w.store.SetUps(w.Stages[0])
		return append(w.Stages, validate.Kind(w.store, b.Users, b.Keeper), w.after.Kind(marker), flowtest.Kind(finished, flowtest.Script{}))
	})
	w.second = w.NewEngine()
	w.pages = w.Stages[0].Exchanges[0].Component
	w.Flow(t, setUpFlow, func(f *flows.Flow) {
		f.Designation, f.Authentication = flows.StageConfiguration, flows.RequireAuthenticated
	}, flowtest.Step{Kind: w.Stages[0].Model, Settings: w.Settings}, flowtest.Step{Kind: finished})
	w.Flow(t, loginFlow, nil, flowtest.Step{Kind: "authenticatorvalidatestage", Settings: validate.Settings{
		NotConfigured: validate.Deny, DeviceClasses: validate.AllClasses(), LastAuthThreshold: "seconds=0", UserVerification: "preferred",
	}}, flowtest.Step{Kind: marker})
	if w.Path != "" {
		w.as = Serve(t, w.Bench, func(a *api.API, r *resource.Registry) {
			w.Mount(r)
			w.store.Mount(a, w.Pool)
		})
	}
	return w
}

// Serve mounts resources on an API of a bench and gives a client for each user of it; nil is an administrator.
func Serve(t testing.TB, b *flowtest.Bench, mount func(*api.API, *resource.Registry)) func(*user.User) resourcetest.Client {
	t.Helper()
	a := api.New(api.Options{Authenticators: []api.Authenticator{who}})
	r := resource.New(a, b.Pool, b.Events)
	mount(a, r)
	if err := r.Finish(); err != nil {
		t.Fatal(err)
	}
	if err := r.CheckTables(t.Context(), b.Direct); err != nil {
		t.Error(err)
	}
	handler, err := a.Handler()
	if err != nil {
		t.Fatal(err)
	}
	return func(u *user.User) resourcetest.Client {
		token := administrator
		if u != nil {
			token = strconv.Itoa(u.ID)
		}
		return resourcetest.Client{Handler: handler, As: func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }}
	}
}

const administrator = "admin"

// who knows a user by the id as a token.
func who(_ context.Context, r *http.Request) (*rbac.Actor, error) {
	token, ok, err := api.Bearer(r)
	if !ok || err != nil {
		return nil, err
	}
	if token == administrator {
		return &rbac.Actor{ID: 1 << 20, Username: token, Superuser: true, Via: rbac.ViaToken}, nil
	}
	id, err := strconv.Atoi(token)
	return &rbac.Actor{ID: id, Username: "user " + token, Via: rbac.ViaToken}, err
}

func (w *world) person(t testing.TB, name string) *user.User {
	t.Helper()
	return usertest.Add(t, w.Users, name, "")
}

// enrol lets a user set a device up and gives it with its uid.
func (w *world) enrol(t testing.TB, u *user.User) (Device, authenticators.Device) {
	t.Helper()
	before := w.devices(t, u)
	br := w.Browser(setUpFlow)
	br.LogIn(t, u, "password", w.Kind.Class)
	d := w.Enrol(t, br, br.Get(t).Want(t, w.pages))
	br.Follow(t).Want(t, flowtest.Component(finished))
	after := w.devices(t, u)
	if len(after) != len(before)+1 {
		t.Fatalf("%s had %d devices and has %d", u.Username, len(before), len(after))
	}
	return d, after[len(after)-1]
}

// devices are a user's confirmed ones.
func (w *world) devices(t testing.TB, u *user.User) []authenticators.Device {
	t.Helper()
	all, err := w.store.Devices(context.Background(), w.Direct, u.ID, true)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// login is a browser in which a user is asked for a device.
func (w *world) login(t testing.TB, u *user.User) *flowtest.Browser {
	t.Helper()
	br := w.Browser(loginFlow)
	w.Start(t, br, loginFlow, flows.Context{PendingUser: u.ID})
	br.Get(t).Want(t, validate.Component)
	return br
}

// choose selects a device.
func choose(t testing.TB, br *flowtest.Browser, d authenticators.Device) flowtest.Page {
	t.Helper()
	return br.Post(t, chosen(d)).Want(t, validate.Component)
}

func chosen(d authenticators.Device) map[string]any {
	return map[string]any{"selected_challenge": map[string]any{"device_class": d.Class, "device_uid": d.UID, "challenge": map[string]any{}}}
}

// refused fails the test unless the page shows the validation stage with an error of the kind's field, and its code, if
// one is given.
func (w *world) refused(t testing.TB, what string, p flowtest.Page, code string) {
	t.Helper()
	codes := p.Codes(w.Kind.Field)
	if p.Err != nil || p.Continue || p.Component != validate.Component || len(codes) != 1 || code != "" && codes[0] != code {
		t.Errorf("%s: want an error of %s with the code %q, got %s", what, w.Kind.Field, code, p)
	}
}

// granted is how many logins went on.
func (w *world) granted() int64 { return w.after.Begun.Load() }

// failures counts the events of failed logins by a user, those of a reason only if it is not "".
func (w *world) failures(t testing.TB, u *user.User, reason string) int {
	t.Helper()
	return w.Count(t, `SELECT count(*) FROM events WHERE action = $1 AND "user"->>'username' = $2
		AND context->>'device_class' = $3 AND ($4 = '' OR context->>'reason' = $4)`, event.LoginFailed, u.Username, w.Kind.Class, reason)
}

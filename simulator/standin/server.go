package standin

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"countersign/mobile/wire"
	"countersign/simulator/clock"
	"countersign/simulator/fcm"
	"countersign/simulator/transport"
)

// maxRefusals is how many refusals are remembered.
const maxRefusals = 1000

// AdminToken is the bearer token of the stand-in's API.
const AdminToken = "admin-token"

// Options of a Server.
type Options struct {
	Mode   wire.Mode     // default number_matching_2
	Window time.Duration // in which an answer counts; default a minute
	Seed   uint64        // of what its push service draws
	Clock  clock.Clock   // default the wall clock
	// Careless lets every login in without waiting for the phone, as a broken server would.
	Careless bool
	// PushFails has the first push fail.
	PushFails bool
	// Guarded has it do what the attack pack looks for: phones with keys are confirmed by their fingerprint, a phone rings three
	// times in vain for strangers, and it is shown the browser that asks.
	Guarded bool
	// Demands is by what answers have to be authenticated; default wire's word for all, "bearer". Else "signed" or
	// "signed_user_verified".
	Demands string
	// Flaw is what a Guarded server does wrong; default nothing.
	Flaw Flaw
}

// Server is the stand-in. It is a phone.Source.
type Server struct {
	URL     string       // with trailing slash
	Handler http.Handler // what serves there
	o       Options
	close   func()

	ctx      context.Context // over when it ends
	double   *fcm.Double     // its push service
	troubled atomic.Bool     // which may make it wait
	wire     http.RoundTripper
	sending  sync.WaitGroup
	bearer   string // by which it sends
	renew    time.Time

	mu       sync.Mutex
	users    map[int]*user
	named    map[string]*user
	devices  map[string]*device
	sessions recent[*session]
	serial   int
	signer   *wire.Signer
	nonce    string
	proofs   recent[bool] // by jti, used
	refused  []string     // why answers were, as the phone hears it
	prompts  recent[*prompt]
	setups   map[string]string // by slug of a set-up flow, or key of its stage: what it demands
}

type user struct {
	id             int
	name, password string
	devices        []*device
	mark           string // of the browsers that the user is known in
	vain           int    // rings that were not approved
	denied         bool   // the last one
}

type device struct {
	uuid, token, address string
	owner                *user
	confirmed, fetch     bool
	pending              *prompt
	keys                 map[wire.Use]wire.Key // of one that signs
	evidence             *wire.Attestation
	demands              string // by what its answers have to be authenticated
	once                 string // the token of the QR code, once it was used
	fingerprint, salt    string // until the owner has confirmed it
	info                 wire.Info
	changed              chan struct{} // closed when something else is pending
}

type prompt struct {
	wire.Prompt
	right     string
	answer    string
	left      int // tries, where it is typed
	displayed bool
	device    *device
	asked     int // times that the page asked after a denial
	over      bool
	ended     string // the page's code where it is over without an answer
	done      chan struct{}
	failed    chan struct{} // closed when its push did not go out
	told      bool          // so, to the page
}

type session struct {
	user     *user
	loggedIn bool
	device   *device // being set up
	asked    *device
	prompt   *prompt
}

// New starts a stand-in that ends with a test: a testing.TB.
func New(t interface{ Cleanup(ended func()) }, o Options) *Server {
	s := Start(o)
	t.Cleanup(s.Close)
	return s
}

// Close ends it.
func (s *Server) Close() { s.close() }

// Start starts a stand-in; end it with Close.
func Start(o Options) *Server {
	if o.Mode == "" {
		o.Mode = wire.NumberMatching2
	}
	if o.Window == 0 {
		o.Window = time.Minute
	}
	if o.Clock == nil {
		o.Clock = clock.Wall{}
	}
	s := &Server{
		o: o, users: map[int]*user{}, named: map[string]*user{}, devices: map[string]*device{},
		setups: map[string]string{}, signer: newSigner(), nonce: rand.Text(),
	}
	double, err := fcm.New(fcm.Options{Seed: o.Seed, Clock: o.Clock, AcceptAny: true})
	if err != nil {
		panic(fmt.Sprintf("standin: push service: %v", err)) // its options are ours
	}
	ctx, end := context.WithCancel(context.Background())
	s.ctx, s.double, s.wire = ctx, double, transport.Memory{Handler: double}
	mux := http.NewServeMux()
	mux.HandleFunc("/-/", func(w http.ResponseWriter, r *http.Request) { // where phones register, and the service is steered
		s.troubled.Store(true)
		double.ServeHTTP(w, r)
	})
	mux.HandleFunc("GET /if/flow/{slug}/", func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "authentik_csrf", Value: "csrf-value", Path: "/"})
	})
	mux.HandleFunc("/api/v3/flows/executor/{slug}/", s.executor)
	mux.HandleFunc("/api/v3/authenticators/mobile/{uuid}/{action}/", s.deviceAPI)
	mux.HandleFunc("/api/v3/core/users/", s.admin(s.usersAPI))
	mux.HandleFunc("/api/v3/core/users/{id}/", s.admin(s.userAPI))
	mux.HandleFunc("POST /api/v3/core/users/{id}/set_password/", s.admin(s.setPassword))
	mux.HandleFunc("GET /api/v3/core/users/me/", s.me)
	mux.HandleFunc("POST /api/v3/authenticators/mobile/approvals/{$}", s.admin(s.addApproval))
	mux.HandleFunc("GET /api/v3/authenticators/mobile/approvals/{id}/", s.admin(s.approval))
	mux.HandleFunc("POST /api/v3/flows/instances/", s.admin(s.addSetup))
	mux.HandleFunc("DELETE /api/v3/flows/instances/{slug}/", s.admin(s.removeSetup))
	mux.HandleFunc("POST /api/v3/stages/authenticator/mobile/", s.admin(s.addSetup))
	mux.HandleFunc("DELETE /api/v3/stages/authenticator/mobile/{slug}/", s.admin(s.removeSetup))
	mux.HandleFunc("POST /api/v3/flows/bindings/", s.admin(s.bindSetup))
	mux.HandleFunc("DELETE /api/v3/authenticators/admin/mobile/{uuid}/", s.admin(s.removeDevice))
	// httptest's server would, at its end, close idle connections of others that run beside it.
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		panic(fmt.Sprintf("standin: listen: %v", err))
	}
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { _ = srv.Serve(l) }() // ends with Close
	s.URL, s.Handler = "http://"+l.Addr().String()+"/", mux
	s.close = func() {
		end()
		_ = srv.Close()
		double.Close()
		s.sending.Wait()
	}
	return s
}

// AddUser makes a user with a password.
func (s *Server) AddUser(name, password string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.newUser(name).password = password
}

func (s *Server) newUser(name string) *user {
	s.serial++
	u := &user{id: s.serial, name: name, mark: rand.Text()}
	s.users[u.id], s.named[name] = u, u
	return u
}

// Enrolment makes an unconfirmed device of the user and returns its QR payload.
func (s *Server) Enrolment(name string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.payload(s.newDevice(s.userByName(name)))
}

// Ask sends the user's newest device a prompt and returns its tx_id and the right item.
func (s *Server) Ask(name string) (tx, right string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.userByName(name)
	p := s.ask(u.devices[len(u.devices)-1])
	return p.TxID, p.right
}

// Right is the right item of a prompt that is open, "" if it is not.
func (s *Server) Right(tx string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.prompts.get(tx); p != nil && p.device.pending == p {
		return p.right
	}
	return ""
}

// AnswerTo is the item sent to a prompt of the device, "" if none.
func (s *Server) AnswerTo(tx string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.prompts.get(tx); p != nil && p.device.pending == p {
		return p.answer
	}
	return ""
}

// Refusals are the texts with which answers were refused, oldest first.
func (s *Server) Refusals() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.refused)
}

// Displayed tells whether a phone said that it shows the prompt.
func (s *Server) Displayed(tx string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.prompts.get(tx); p != nil && p.device.pending == p {
		return p.displayed
	}
	return false
}

// Evidence is what the maker of a device's phone said of its key when it enrolled, nil for nothing.
func (s *Server) Evidence(device string) *wire.Attestation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.devices[device].evidence
}

// Info is what the phone of a device last said of itself.
func (s *Server) Info(device string) wire.Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.devices[device].info
}

// Address is where the pushes of a device go.
func (s *Server) Address(device string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.devices[device].address
}

// Confirm lets a phone of a Guarded server in, as its owner does who has compared the fingerprints.
func (s *Server) Confirm(device string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.devices[device].confirm()
}

// Users counts the users.
func (s *Server) Users() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.users)
}

func (s *Server) userByName(name string) *user { return s.named[name] }

func uuid() string {
	b := make([]byte, 16)
	rand.Read(b)
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func (s *Server) newDevice(u *user) *device {
	d := &device{uuid: uuid(), token: rand.Text(), owner: u, changed: make(chan struct{})}
	s.devices[d.uuid] = d
	return d
}

func (s *Server) payload(d *device) []byte {
	text, err := json.Marshal(wire.Payload{URL: s.URL, Device: d.uuid, Token: d.token})
	if err != nil {
		panic(err)
	}
	return text
}

// items are distinct numbers that change from prompt to prompt, and the right one.
func (s *Server) items(m wire.Mode) (items []string, right string) {
	s.serial++
	width := m.Digits()
	switch number := fmt.Sprintf("%0*d", width, (s.serial*7)%97); {
	case m == wire.AcceptDeny:
		return []string{wire.ItemAccept, wire.ItemDeny}, wire.ItemAccept
	case m.Types():
		return []string{}, number
	case m.Shows():
		return []string{number}, number
	}
	for i := range wire.Numbers {
		items = append(items, fmt.Sprintf("%0*d", width, (s.serial*7+i*31)%97))
	}
	return items, items[s.serial%len(items)]
}

// AskFor sends the user's newest device something to approve that is no login, and returns its tx_id.
func (s *Server) AskFor(name string, t wire.Transaction) (tx string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.userByName(name)
	return s.prompt(u.devices[len(u.devices)-1], wire.AcceptDeny, &t).TxID
}

// ask makes a prompt and pushes it. The caller holds the lock.
func (s *Server) ask(d *device) *prompt { return s.prompt(d, s.o.Mode, nil) }

func (s *Server) prompt(d *device, m wire.Mode, t *wire.Transaction) *prompt {
	now := s.o.Clock.Now()
	items, right := s.items(m)
	p := &prompt{right: right, left: tries, device: d, done: make(chan struct{}), failed: make(chan struct{})}
	p.Prompt = wire.Prompt{
		TxID: uuid(), Mode: m, Items: items, Transaction: t, Created: now, Expires: now.Add(s.o.Window),
		Context: wire.Context{Application: "Grafana", Host: "id.example.com", IP: "203.0.113.7", Browser: "Firefox 141", OS: "Linux", Time: now},
	}
	if s.open(d.pending) {
		d.pending.end("superseded")
	}
	d.pending = p
	s.prompts.put(p.TxID, p, now)
	d.stir()
	push := wire.Push{Kind: wire.Wake, TxID: p.TxID}
	if !d.fetch {
		push = wire.Push{Kind: wire.Challenge, TxID: p.TxID, Items: items, Mode: m}
	}
	data := push.Data()
	if s.flawed(NamesInPush) {
		data["user"] = d.owner.name
	}
	s.pushTo(d.address, data, func() { close(p.failed) })
	return p
}

func (s *Server) admin(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+AdminToken {
			reply(w, 403, map[string]string{"detail": "Token invalid/expired"})
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		next(w, r)
	}
}

func (s *Server) usersAPI(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		results := []map[string]any{}
		if u := s.userByName(r.FormValue("username")); u != nil {
			results = append(results, map[string]any{"pk": u.id, "username": u.name})
		}
		reply(w, 200, map[string]any{"results": results})
		return
	}
	var in struct{ Username string }
	if json.NewDecoder(r.Body).Decode(&in) != nil || in.Username == "" || s.userByName(in.Username) != nil {
		reply(w, 400, map[string][]string{"username": {"This field must be unique."}})
		return
	}
	u := s.newUser(in.Username)
	reply(w, 201, map[string]any{"pk": u.id, "username": u.name})
}

func (s *Server) userAPI(w http.ResponseWriter, r *http.Request) {
	id, _ := strconv.Atoi(r.PathValue("id"))
	if s.users[id] == nil || r.Method != http.MethodDelete {
		reply(w, 404, map[string]string{"detail": "Not found."})
		return
	}
	delete(s.named, s.users[id].name)
	delete(s.users, id)
	w.WriteHeader(204)
}

func (s *Server) setPassword(w http.ResponseWriter, r *http.Request) {
	var in struct{ Password string }
	id, _ := strconv.Atoi(r.PathValue("id"))
	u := s.users[id]
	if u == nil || json.NewDecoder(r.Body).Decode(&in) != nil {
		reply(w, 400, nil)
		return
	}
	u.password = in.Password
	w.WriteHeader(204)
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func (s *Server) session(r *http.Request) *session {
	c, err := r.Cookie("authentik_session")
	if err != nil {
		return nil
	}
	return s.sessions.get(strings.TrimSpace(c.Value))
}

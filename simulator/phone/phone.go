package phone

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"countersign/mobile/wire"
	"countersign/simulator/clock"
	"countersign/simulator/fcm"
	"countersign/simulator/maker"
)

const (
	maxRings    = 200  // remembered
	maxSteps    = 1000 // of the timeline
	maxHandling = 16   // pushes handled at a time
	callLimit   = 15 * time.Second
)

// Source is where pushes come from: a double of a push service in process, or [fcm.Client] from another one.
type Source interface {
	Register(ctx context.Context, address string) (string, error)
	Subscribe(ctx context.Context, address string) (<-chan fcm.Message, error)
}

// namer is a Source whose addresses are told to servers in a form of its own; others are registration tokens.
type namer interface {
	PushKey(address string) wire.PushKey
}

// Options of a Phone. All are optional.
type Options struct {
	Push      Source        // nil: the phone has no push and only looks when told to, by Refresh
	Address   string        // its push address; default a fresh one
	Fetch     Fetch         // how it learns of prompts; default ByPush. A stock phone has no other way
	Receipts  bool          // it says when a prompt is on its screen
	Behaviour Behaviour     // how it answers; nil leaves every ring to [Phone.Answer]
	Stock     bool          // a phone that cannot fetch and shows what the push carries
	Signs     bool          // it has keys: it proves each request and signs its answers, and believes only its server
	Verifies  bool          // with Signs: it has a key too that stands for its owner's finger, and signs approvals with it
	Passkey   bool          // with Verifies: that key is a passkey, as a phone has that is a web page
	Maker     *maker.Maker  // with Signs: who attests its keys; nil: nobody
	Attests   maker.Fault   // what is wrong with that; "" is nothing
	Info      wire.Info     // what it says of itself; zero fields are filled in
	HTTP      *http.Client  // default one of its own; calls that the server does not hold end after 15 s
	Clock     clock.Clock   // default the wall clock
	Skew      time.Duration // by which the phone's own clock is ahead of that, or behind
	Rand      io.Reader     // of its names and keys; default crypto/rand
	OnStep    func(Step)    // called with each step, by several goroutines at once
	Log       *slog.Logger  // default: none
}

// Phone is safe for concurrent use. Close it.
type Phone struct {
	o        Options
	ctx      context.Context // the phone's life: pushes are handled in it
	cancel   context.CancelFunc
	work     sync.WaitGroup
	handling chan struct{}
	real     clock.Clock // by which others go

	connect sync.Mutex // one connection at a time
	mu      sync.Mutex
	address string
	hangUp  context.CancelFunc
	account []Account
	rings   []*Ring // oldest first
	serial  uint64  // of the newest ring
	steps   []Step
	changed chan struct{}

	behaviour Behaviour
	network   Network
	link      context.Context // ends when the network goes
	cut       context.CancelFunc
	missed    []fcm.Message // in Offline
	saver     time.Duration
	killed    bool
	waking    map[string]bool // prompts that a push announced and that are being fetched
}

// Account is one enrolment on the phone.
type Account struct {
	Server   string    `json:"server"` // base URL with trailing slash
	Device   string    `json:"device"` // the device's UUID at the server
	UID      string    `json:"uid"`    // the phone's name for this enrolment
	Enrolled time.Time `json:"enrolled"`
	// Fingerprint is on the screen until somebody confirms the account, who sees it too: in the browser, or on the old phone (see
	// [Phone.Settle]). "": nobody has to. For the browser it is computed here, from the phone's own keys.
	Fingerprint string `json:"fingerprint,omitempty"`
	Confirmed   bool   `json:"confirmed"`         // it counts: nobody had to confirm it, or somebody has
	Refused     string `json:"refused,omitempty"` // why it will never be; "": it was not
	Move        *Move  `json:"move,omitempty"`    // of a StartMove; nil: none is under way
	token       string
	keys        *keys // of a phone that signs
}

// Signs tells whether the account has keys.
func (a Account) Signs() bool { return a.keys != nil }

// Token is the device token. It is a secret.
func (a Account) Token() string { return a.token }

// New makes a phone without accounts.
func New(o Options) *Phone {
	if o.HTTP == nil {
		o.HTTP = &http.Client{}
	}
	if o.Clock == nil {
		o.Clock = clock.Wall{}
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Fetch == "" {
		o.Fetch = ByPush
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Stock {
		o.Fetch = ByPush
	}
	o.Info = describe(o.Info, o.Stock)
	o.Rand = &serial{from: o.Rand}
	p := &Phone{o: o, real: o.Clock, handling: make(chan struct{}, maxHandling), changed: make(chan struct{}), behaviour: o.Behaviour, network: Online}
	if o.Skew != 0 {
		p.o.Clock = skewed{o.Clock, o.Skew}
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.link, p.cut = context.WithCancel(p.ctx)
	return p
}

// serial lets several goroutines draw from one source.
type serial struct {
	mu   sync.Mutex
	from io.Reader
}

// Read draws.
func (s *serial) Read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.from.Read(b)
}

// describe fills in what a phone must say of itself.
func describe(i wire.Info, stock bool) wire.Info {
	for _, f := range []struct {
		field *string
		value string
	}{{&i.OSVersion, "16"}, {&i.Model, "Simulated phone"}, {&i.Hostname, "Simulated phone"}, {&i.AppVersion, "1.0.0"}} {
		if *f.field == "" {
			*f.field = f.value
		}
	}
	if i.Platform == "" {
		i.Platform = wire.Android
	}
	if i.Others == nil {
		i.Others = map[string]any{}
	}
	if !stock {
		i = i.WithTransactions()
	}
	return i
}

// Close switches the phone off and waits for what it is doing.
func (p *Phone) Close() {
	p.mu.Lock()
	p.cancel() // under the lock, so that spawn adds nothing once Wait has begun
	p.mu.Unlock()
	p.work.Wait()
}

// spawn runs do beside the caller, unless the phone is closed.
func (p *Phone) spawn(do func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		return false
	}
	p.work.Go(do)
	return true
}

// Connect gets the phone its push address and starts to receive. EnrolFromQR does it when needed.
func (p *Phone) Connect(ctx context.Context) error {
	p.connect.Lock()
	defer p.connect.Unlock()
	p.mu.Lock()
	connected := p.hangUp != nil
	p.mu.Unlock()
	if p.o.Push == nil || connected {
		return nil
	}
	return p.dial(ctx, p.o.Address)
}

// dial registers address, fresh if empty, and receives on it instead of the one before.
func (p *Phone) dial(ctx context.Context, address string) error {
	address, err := p.o.Push.Register(ctx, address)
	if err != nil {
		return fmt.Errorf("register push address: %w", err)
	}
	life, hangUp := context.WithCancel(p.ctx)
	messages, err := p.o.Push.Subscribe(life, address)
	if err != nil {
		hangUp()
		return fmt.Errorf("subscribe to pushes: %w", err)
	}
	p.mu.Lock()
	if p.hangUp != nil {
		p.hangUp()
	}
	p.address, p.hangUp = address, hangUp
	p.mu.Unlock()
	if !p.spawn(func() { p.receive(messages) }) {
		return errors.New("phone: closed")
	}
	return nil
}

// Disconnect cuts the phone off its pushes, as a flight mode does. [Phone.Connect] restores it.
func (p *Phone) Disconnect() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hangUp != nil {
		p.hangUp()
		p.hangUp = nil
		p.o.Address = p.address
	}
}

// EnrolFromQR enrols the phone with the text of a QR code: it takes the device token, says where
// its pushes go and checks in. When a step after the first fails the account stays on the phone
// and is returned together with the error. An account with a Fingerprint has to be confirmed first: then call Settle.
func (p *Phone) EnrolFromQR(ctx context.Context, payload []byte) (Account, error) {
	qr, err := wire.ParsePayload(payload)
	if err != nil {
		return Account{}, err
	}
	if err := p.Connect(ctx); err != nil {
		return Account{}, err
	}
	uid := make([]byte, 16)
	if _, err := io.ReadFull(p.o.Rand, uid); err != nil {
		return Account{}, fmt.Errorf("name the enrolment: %w", err)
	}
	a := Account{Server: qr.URL, Device: qr.Device, UID: hex.EncodeToString(uid), token: qr.Token}
	if p.o.Signs {
		if a.keys, err = newKeys(p.o, qr.URL); err != nil {
			return Account{}, err
		}
	}
	var reply wire.EnrollmentCallback
	err = p.step(StepEnrolled, "", a.Device, func() error { return p.enrol(ctx, a, &reply) })
	if err != nil {
		return Account{}, fmt.Errorf("enrol: %w", err)
	}
	a.token, a.Enrolled = reply.Token, p.o.Clock.Now()
	if a.keys != nil {
		if a.keys.server, err = wire.ParseKey(reply.ServerKey); err != nil {
			return Account{}, fmt.Errorf("enrol: the server's %w", err)
		}
		if reply.Salt != "" {
			a.Fingerprint, err = a.keys.fingerprint(a.Device, qr.Token, reply.Salt)
		}
		if err != nil {
			return Account{}, fmt.Errorf("enrol: %w", err)
		}
	}
	p.mu.Lock()
	p.account = append(p.account, a)
	p.mu.Unlock()
	if a.Fingerprint != "" {
		return a, nil
	}
	a.Confirmed = true
	return a, p.begin(ctx, a)
}

// begin tells the server all about the phone, once an account counts.
func (p *Phone) begin(ctx context.Context, a Account) error {
	p.change(a.Device, func(a *Account) { a.Confirmed = true })
	if err := p.sendAddress(ctx, a); err != nil {
		return err
	}
	if err := p.checkIn(ctx, a); err != nil {
		return err
	}
	p.follow(a.Device)
	return nil
}

// change alters an account, if it is still there.
func (p *Phone) change(device string, do func(*Account)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.account {
		if p.account[i].Device == device {
			do(&p.account[i])
		}
	}
	p.signal()
}

// Enrol makes a phone and enrols it with the text of a QR code. Close it; after an error there is none.
func Enrol(ctx context.Context, payload []byte, o Options) (*Phone, Account, error) {
	p := New(o)
	a, err := p.EnrolFromQR(ctx, payload)
	if err != nil {
		p.Close()
		return nil, Account{}, err
	}
	return p, a, nil
}

// EnrolFromLink enrols the phone with the link that its camera reads: it exchanges the code for what the QR code holds.
func (p *Phone) EnrolFromLink(ctx context.Context, link string) (Account, error) {
	server, code, err := wire.ParseLink(link)
	if err != nil {
		return Account{}, err
	}
	payload, err := p.redeem(ctx, server, code)
	if err != nil {
		return Account{}, fmt.Errorf("redeem code: %w", err)
	}
	return p.EnrolFromQR(ctx, payload)
}

func (p *Phone) sendAddress(ctx context.Context, a Account) error {
	address := p.Address()
	key := wire.PushKey{FirebaseKey: address}
	switch {
	case address == "" && p.o.Fetch == ByPush:
		return nil
	case address == "":
		key = wire.PushKey{FirebaseKey: "-", Channel: wire.ChannelNone}
	}
	if n, ok := p.o.Push.(namer); ok && address != "" {
		key = n.PushKey(address)
	}
	err := p.step(StepAddress, "", a.Device, func() error {
		return p.call(ctx, a, wire.ActionPushKey, key, nil)
	})
	if err != nil {
		return fmt.Errorf("tell push address: %w", err)
	}
	return nil
}

func (p *Phone) checkIn(ctx context.Context, a Account) error {
	err := p.step(StepCheckedIn, "", a.Device, func() error { return p.call(ctx, a, wire.ActionCheckIn, p.Info(), nil) })
	if err != nil {
		return fmt.Errorf("check in: %w", err)
	}
	return nil
}

// CheckIn tells every account's server what the phone is; the first error ends it.
func (p *Phone) CheckIn(ctx context.Context) error {
	for _, a := range p.Accounts() {
		if err := p.checkIn(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// RotateAddress gives the phone a fresh push address, as a reinstalled app has, and tells every
// account's server. The old address keeps existing at the push service.
func (p *Phone) RotateAddress(ctx context.Context) error {
	if p.o.Push == nil {
		return errors.New("phone: no push service")
	}
	p.connect.Lock()
	err := p.dial(ctx, "")
	p.connect.Unlock()
	if err != nil {
		return err
	}
	for _, a := range p.Accounts() {
		if err := p.sendAddress(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// Forget removes an account from the phone; the server is not told.
func (p *Phone) Forget(device string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.account = slices.DeleteFunc(p.account, func(a Account) bool { return a.Device == device })
	for _, r := range p.rings {
		if r.Device == device && r.State == Ringing {
			r.State, r.Ended = Gone, p.o.Clock.Now()
		}
	}
	p.signal()
}

// Address is the push address, empty before the phone first connected.
func (p *Phone) Address() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.address
}

// Accounts are the phone's enrolments, oldest first.
func (p *Phone) Accounts() []Account {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.account)
}

// Info is what the phone says of itself.
func (p *Phone) Info() wire.Info {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.o.Info
}

// SetBehaviour has the person act otherwise from the next ring on.
func (p *Phone) SetBehaviour(b Behaviour) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.behaviour = b
}

// Now is the time on the phone's clock.
func (p *Phone) Now() time.Time { return p.o.Clock.Now() }

// Changed returns a channel that closes at the phone's next change. Take it before looking.
func (p *Phone) Changed() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changed
}

// signal tells of a change. The caller holds the lock.
func (p *Phone) signal() {
	close(p.changed)
	p.changed = make(chan struct{})
}

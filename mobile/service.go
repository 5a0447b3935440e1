package mobile

import (
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/authenticators/browser"
	"countersign/core/bus"
	"countersign/core/egress"
	"countersign/core/event"
	"countersign/core/secret"
	"countersign/core/session"
	"countersign/core/user"
	"countersign/push"
)

// Pusher sends wake-ups without blocking: a *push.Dispatcher.
type Pusher interface {
	Dispatch(push.Job)
	Cancel(id string)
}

// The times of a prompt and an enrolment.
const (
	// MaxAnswerWindow is the hard cap on how long a prompt may be answered (NIST SP 800-63B, push.md T4).
	MaxAnswerWindow     = 10 * time.Minute
	defaultAnswerWindow = time.Minute
	enrollmentWindow    = 10 * time.Minute
	abandoned           = time.Hour
	// holdLimit ends one waiting request before the proxies in front of us do; the page asks again at once.
	holdLimit = 50 * time.Second
	// retention is how long answered prompts are kept: long enough to know a user's own addresses.
	retention = 30 * 24 * time.Hour
)

// Options are what a Service needs. AnswerWindow, Budget, Random and Now have defaults.
type Options struct {
	Pool         *pgxpool.Pool
	Users        *user.Store
	Keeper       *secret.Keeper
	Bus          bus.Bus
	Events       *event.Log
	Push         Pusher
	Sessions     *session.Store // lets the browser that enrols ask for the status
	Channel      string         // the channel of addresses of which the phone names none; default "fcm"
	Webhooks     egress.Hosts   // of applications that may have private addresses and speak plain HTTP
	Channels     []Channel      // those that phones may choose
	Log          *slog.Logger
	Evidence     Evidence      // by what attestations are checked; none are good without its roots
	AnswerWindow time.Duration // how long a phone may answer; default 60 s, at most MaxAnswerWindow
	Budget       Budget
	Metrics      prometheus.Registerer // default: none
	Random       io.Reader
	Now          func() time.Time
}

// Service is the server side of the phones.
type Service struct {
	Options
	waiters     *waiters
	challenges  *challenges
	audience    *audience
	crowd       *crowd
	browsers    *browser.Marks
	upgrader    *websocket.Upgrader
	sockets     sync.WaitGroup
	ticketKey   []byte // makes the tickets of sockets
	metrics     *metrics
	record      *record
	rescue      rescue
	serverKey   serverKey
	nonceKey    []byte // makes the nonces of proofs
	codes       *secret.MAC
	webhooks    *http.Client
	unsubscribe []func()
}

// topic carries ids of prompts and devices that changed, between nodes.
const topic = "mobile"

// New makes a service. Close ends its subscription.
func New(o Options) *Service {
	if o.AnswerWindow <= 0 {
		o.AnswerWindow = defaultAnswerWindow
	}
	o.AnswerWindow = min(o.AnswerWindow, MaxAnswerWindow)
	if o.Budget.Pushes == 0 {
		o.Budget = DefaultBudget()
	}
	if o.Channel == "" {
		o.Channel = "fcm"
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Evidence.HTTP == nil {
		o.Evidence.HTTP = &http.Client{Timeout: time.Minute}
	}
	s := &Service{
		Options: o, waiters: newWaiters(), challenges: newChallenges(), audience: newAudience(), crowd: newCrowd(), browsers: browser.New(o.Keeper),
		upgrader: newUpgrader(), ticketKey: o.Keeper.Derive("mobile socket ticket"), nonceKey: o.Keeper.Derive("mobile proof nonce"),
		codes: o.Keeper.MAC("mobile enrolment code"), webhooks: newWebhooks(o.Webhooks),
	}
	s.metrics = newMetrics(o.Metrics, func() float64 { return float64(s.audience.size()) })
	s.record = &record{pool: o.Pool, events: o.Events, log: o.Log, dropped: s.metrics.dropped}
	s.unsubscribe = []func(){
		o.Bus.Subscribe(deliveryTopic, s.heardDelivery),
		o.Bus.Subscribe(topic, func(payload string) {
			if id, err := uuid.Parse(payload); err == nil {
				s.waiters.wake(id)
				s.audience.wake(id)
			}
		}),
		o.Bus.Subscribe(bus.Resync, func(string) {
			s.waiters.wakeAll()
			s.audience.wakeAll()
		}),
	}
	return s
}

// Release lets the phones go that this node holds, so that they come back elsewhere. For a server that stops.
func (s *Service) Release() { s.audience.close() }

// Close ends the sockets and the subscriptions to the bus.
func (s *Service) Close() {
	s.audience.close()
	gone := make(chan struct{})
	go func() {
		s.sockets.Wait()
		close(gone)
	}()
	select {
	case <-gone:
	case <-time.After(goodbye):
	}
	for _, end := range s.unsubscribe {
		end()
	}
	s.rescue.close()
	s.record.close()
}

// wake lets whoever waits for id on that node look again.
func (s *Service) wake(node, id uuid.UUID) {
	if node == s.Bus.Node() {
		s.waiters.wake(id)
		return
	}
	s.Bus.Notify(node, topic, id.String())
}

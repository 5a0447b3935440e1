package app

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/authenticators"
	"countersign/authenticators/duo"
	"countersign/authenticators/sms"
	"countersign/authenticators/static"
	"countersign/authenticators/totp"
	"countersign/authenticators/webauthn"
	"countersign/core/api"
	"countersign/core/bootstrap"
	"countersign/core/brand"
	"countersign/core/event"
	"countersign/core/eventlog"
	"countersign/core/group"
	"countersign/core/mail"
	"countersign/core/resource"
	"countersign/core/secret"
	"countersign/core/serviceaccount"
	"countersign/core/session"
	"countersign/core/token"
	"countersign/core/user"
	"countersign/core/web"
	"countersign/flows"
	"countersign/flows/executor"
	"countersign/mobile"
)

// services are the parts of a server that keep no connection of their own.
type services struct {
	pool     *pgxpool.Pool
	log      *slog.Logger
	keeper   *secret.Keeper
	events   *event.Log
	users    *user.Store
	userAPI  *user.Service
	groups   *group.Service
	tokens   *token.Store
	machines *serviceaccount.Service
	sessions *session.Store
	brands   *brand.Store
	audit    *eventlog.Log
	first    *bootstrap.Service
	mail     *mail.Service // nil: no mails are sent

	mobile         *mobile.Service
	totp           *totp.Service
	static         *static.Service
	webauthn       *webauthn.Service
	duo            *duo.Service
	sms            *sms.Service
	authenticators *authenticators.Store
	stages         []*flows.Kind
	engine         *flows.Engine
	api            *api.API
	registry       *resource.Registry
	web            *web.Web
}

func newServices(a *App, keeper *secret.Keeper, hasher *user.Hasher, events *event.Log, install uuid.UUID, first *bootstrap.Service) (*services, error) {
	s := &services{pool: a.pool, log: a.log, keeper: keeper, events: events, first: first}
	s.users = &user.Store{Pool: a.pool, Hasher: hasher, Events: events, InstallID: install, Now: time.Now, Log: a.log}
	s.brands = &brand.Store{Pool: a.pool, Now: time.Now, Log: a.log}
	s.sessions = &session.Store{Pool: a.pool, Users: s.users, Events: events, Now: time.Now, Log: a.log}
	s.sessions.Key, s.sessions.OldKeys = keeper.Derive("session"), keeper.DeriveOld("session")
	s.userAPI = &user.Service{Users: s.users, Brands: s.brands, Renew: s.sessions.RenewFor}
	s.groups = &group.Service{Users: s.users, Events: events}
	s.tokens = &token.Store{Pool: a.pool, Users: s.users, UserObj: s.userAPI, Events: events, Keeper: keeper, Now: time.Now}
	s.machines = &serviceaccount.Service{Users: s.users, Tokens: s.tokens, Events: events, Now: time.Now}
	s.audit = &eventlog.Log{Pool: a.pool, Retention: a.config.Events.Retention, Now: time.Now}
	m := a.config.Mobile
	evidence, err := a.config.evidence()
	if err != nil {
		return nil, err
	}
	s.mobile = mobile.New(mobile.Options{
		Pool: a.pool, Users: s.users, Keeper: keeper, Bus: a.bus, Events: events, Push: a.pusher, Sessions: s.sessions, Log: a.log,
		Channel: a.channel, Channels: a.offers, AnswerWindow: m.AnswerWindow, Evidence: evidence, Metrics: a.metrics, Webhooks: m.Webhooks.AllowedHosts,
		Budget: mobile.Budget{
			Pushes: m.Pushes, Window: m.PushWindow, Gap: m.PushGap, DenyGap: m.DenyGap, Longest: m.LongestPause,
			Source: m.SourcePushes, Total: m.TotalPushes,
		},
	})
	s.totp, s.static = totp.New(keeper), static.New(keeper)
	s.duo = duo.New(duo.Options{Pool: a.pool, Keeper: keeper, Events: events, Sessions: s.sessions})
	s.sms = sms.New(sms.Options{Pool: a.pool, Keeper: keeper, Events: events})
	s.webauthn = webauthn.New(webauthn.Options{
		Pool: a.pool, Users: s.users, Events: events, Log: a.log,
		MetadataFile: a.config.WebAuthn.MetadataFile, MetadataURL: a.config.WebAuthn.MetadataURL,
	})
	s.authenticators = authenticators.NewStore(s.authenticatorKinds()...)
	s.stages = s.stageKinds()
	s.engine = flows.New(flows.Options{Pool: a.pool, Users: s.users, Events: events, Kinds: s.stages, Log: a.log})
	if err := s.openMail(a); err != nil {
		return nil, err
	}
	s.api = api.New(api.Options{
		Log: a.log, Metrics: a.metrics, TrustedProxies: a.config.TrustedProxies, Hosts: a.config.Hosts,
		BodyLimit: a.config.HTTP.BodyLimit, ReadTimeout: a.config.HTTP.ReadTimeout, Version: Version,
		Authenticators: []api.Authenticator{s.mobile.Authenticator, s.tokens.Authenticate, s.sessions.Authenticate},
		Brand:          s.brandRef,
		Schemes:        []api.Scheme{{Name: "authentik"}, mobile.Scheme()},
	})
	s.registry = resource.New(s.api, a.pool, events)
	s.mount()
	if err := s.registry.Finish(); err != nil {
		return nil, err
	}
	if err := s.mountPages(a); err != nil {
		return nil, err
	}
	executor.Mount(s.api, executor.Options{
		Engine: s.engine, Sessions: s.sessions, Pool: a.pool, Bearer: s.tokens.Authenticate, Brand: s.brandOf,
		Page: s.flowPage, ErrorPage: s.errorPage, Kinds: s.stages,
	})
	a.metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "countersign_waiting_logins", Help: "Requests that wait for a phone's answer.",
	}, func() float64 { return float64(s.engine.Waiting()) }))
	return s, nil
}

// openMail has mails sent about events, if there is a server for them.
func (s *services) openMail(a *App) error {
	settings := a.config.mail()
	if settings.Host == "" {
		return nil
	}
	sender, err := mail.NewSender(settings)
	if err != nil {
		return err
	}
	devices := map[string]string{}
	for _, k := range s.authenticators.Kinds() {
		devices[k.Model] = k.Label
	}
	s.mail = &mail.Service{
		Pool: s.pool, Sender: sender, Events: s.events, Now: time.Now, Log: s.log, Devices: devices,
		Site: func(ctx context.Context, host string) (title string, known bool) {
			b, err := s.brands.For(ctx, host)
			if err != nil {
				return "Countersign", false
			}
			domain := strings.ToLower(b.Domain)
			return b.Title, host == domain || strings.HasSuffix(host, "."+domain)
		},
	}
	s.events.Beside = s.mail.Beside
	return nil
}

func (s *services) brandOf(ctx context.Context, host string) (executor.Brand, error) {
	b, err := s.brands.For(ctx, host)
	if err != nil {
		return executor.Brand{}, err
	}
	return executor.Brand{Title: b.Title, Authentication: b.FlowAuthentication, Invalidation: b.FlowInvalidation}, nil
}

// brandRef is the brand of a host, for events; nil while the database is away.
func (s *services) brandRef(ctx context.Context, host string) *event.Ref {
	b, err := s.brands.For(ctx, host)
	if err != nil {
		return nil
	}
	return b.Ref()
}

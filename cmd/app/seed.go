package app

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/authenticators"
	"countersign/authenticators/static"
	"countersign/authenticators/totp"
	"countersign/authenticators/validate"
	"countersign/authenticators/webauthn"
	"countersign/core/db"
	"countersign/core/session"
	"countersign/core/user"
	"countersign/flows"
	"countersign/flows/stages/identification"
	"countersign/flows/stages/password"
	"countersign/flows/stages/userlogin"
	"countersign/mobile"
	"countersign/mobile/wire"
)

// seedFlow is a flow that a new installation has, with its stages in their order.
type seedFlow struct {
	slug, name, title string
	designation       flows.Designation
	requirement       flows.Requirement
	stages            []seedStage
}

type seedStage struct {
	order    int
	name     string
	kind     string
	settings any
}

// MobileSetupFlow is the flow by which a person adds a phone. The contract has no default flow for it; ours does.
const MobileSetupFlow = "default-authenticator-mobile-setup"

// The slugs of the default flows that other code names.
const (
	authenticationFlow = "default-authentication-flow"
	invalidationFlow   = "default-invalidation-flow"
	totpSetupFlow      = "default-authenticator-totp-setup"
	staticSetupFlow    = "default-authenticator-static-setup"
	webauthnSetupFlow  = "default-authenticator-webauthn-setup"
	passwordlessFlow   = "default-passwordless-flow"
)

// seedFlows are the flows of core.md §9.1 whose stages exist, MobileSetupFlow, and one for a login with nothing but a
// passkey. The identification stage does not link to the last one: an administrator has it do so.
func seedFlows(ids map[string]uuid.UUID) []seedFlow {
	mobileFlow, totpFlow, staticFlow, webauthnFlow := ids[MobileSetupFlow], ids[totpSetupFlow], ids[staticSetupFlow], ids[webauthnSetupFlow]
	friendly, app, codes, passkey := "Phone", "TOTP Device", "Static tokens", "WebAuthn device"
	return []seedFlow{
		{
			slug: authenticationFlow, name: "Welcome to Countersign!", title: "Welcome to Countersign!",
			designation: flows.Authentication, requirement: flows.RequireNone,
			stages: []seedStage{
				{10, "default-authentication-identification", "identificationstage", identification.Settings{
					UserFields: []identification.UserField{user.ByEmail, user.ByUsername},
					FoldCase:   true, ShowMatched: true, Pretend: true, Sources: []uuid.UUID{},
				}},
				{20, "default-authentication-password", "passwordstage", password.Settings{
					Backends: []password.Backend{password.Inbuilt, password.LDAP, password.Token}, MaxFailures: 5,
				}},
				{30, "default-authentication-mfa-validation", "authenticatorvalidatestage", validate.Settings{
					NotConfigured: validate.Skip, LastAuthThreshold: "seconds=0", UserVerification: "preferred",
					DeviceClasses:       validate.AllClasses(),
					NetworkMismatch:     validate.MismatchEvent,
					ConfigurationStages: []uuid.UUID{}, AllowedDeviceTypes: []uuid.UUID{},
				}},
				{100, "default-authentication-login", "userloginstage", userlogin.Settings{
					SessionDuration: "seconds=0", RememberOffset: "seconds=0",
					NetworkBinding: session.NoBinding, GeoIPBinding: session.NoBinding,
				}},
			},
		},
		{
			slug: passwordlessFlow, name: "Sign in with a passkey", title: "Sign in with a passkey",
			designation: flows.Authentication, requirement: flows.RequireNone,
			stages: []seedStage{
				{10, "default-passwordless-validation", "authenticatorvalidatestage", validate.Settings{
					NotConfigured: validate.Deny, LastAuthThreshold: "seconds=0", UserVerification: authenticators.VerificationRequired,
					DeviceClasses:       []validate.DeviceClass{webauthn.Class},
					NetworkMismatch:     validate.MismatchEvent,
					ConfigurationStages: []uuid.UUID{}, AllowedDeviceTypes: []uuid.UUID{},
				}},
				{100, "default-passwordless-login", "userloginstage", userlogin.Settings{
					SessionDuration: "seconds=0", RememberOffset: "seconds=0",
					NetworkBinding: session.NoBinding, GeoIPBinding: session.NoBinding,
				}},
			},
		},
		{
			slug: invalidationFlow, name: "Logout", title: "Default Invalidation Flow",
			designation: flows.Invalidation, requirement: flows.RequireNone,
			stages: []seedStage{{0, "default-invalidation-logout", "userlogoutstage", struct{}{}}},
		},
		{
			slug: MobileSetupFlow, name: "Add a phone", title: "Add a phone",
			designation: flows.StageConfiguration, requirement: flows.RequireAuthenticated,
			stages: []seedStage{{0, MobileSetupFlow, "authenticatormobilestage", mobile.Settings{
				ConfigureFlow: &mobileFlow, FriendlyName: &friendly, Mode: wire.NumberMatching3, Answer: mobile.AnswerByItem, TypedAttempts: 3,
				Required: mobile.AssureAny, Accepted: mobile.AcceptBearer, Overlap: "days=1", Cooldown: "hours=0", CGWEndpoint: "localhost",
				Reports: mobile.DefaultReportActions(), ReportBlock: mobile.DefaultReportBlock,
			}}},
		},
		{
			slug: totpSetupFlow, name: "Add an authenticator app", title: "Add an authenticator app",
			designation: flows.StageConfiguration, requirement: flows.RequireAuthenticated,
			stages: []seedStage{{0, totpSetupFlow, "authenticatortotpstage", totp.Settings{
				ConfigureFlow: &totpFlow, FriendlyName: &app, Digits: totp.Six,
			}}},
		},
		{
			slug: staticSetupFlow, name: "Make recovery codes", title: "Make recovery codes",
			designation: flows.StageConfiguration, requirement: flows.RequireAuthenticated,
			stages: []seedStage{{0, staticSetupFlow, "authenticatorstaticstage", static.Settings{
				ConfigureFlow: &staticFlow, FriendlyName: &codes, TokenCount: 6, TokenLength: 12,
			}}},
		},
		{
			slug: webauthnSetupFlow, name: "Add a passkey", title: "Add a passkey",
			designation: flows.StageConfiguration, requirement: flows.RequireAuthenticated,
			stages: []seedStage{{0, webauthnSetupFlow, "authenticatorwebauthnstage", webauthn.Settings{
				ConfigureFlow: &webauthnFlow, FriendlyName: &passkey, UserVerification: authenticators.VerificationPreferred,
				ResidentKey: "preferred", Restrictions: []uuid.UUID{},
			}}},
		},
	}
}

// seed makes the default flows and has the default brand name them, once: an installation that has any flow is left
// as its administrators made it.
func seed(ctx context.Context, pool *pgxpool.Pool) error {
	return db.InTx(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('countersign default flows', 0))`); err != nil {
			return fmt.Errorf("lock default flows: %w", db.Fault(err))
		}
		var some bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM flows) OR EXISTS (SELECT FROM stages)`).Scan(&some); err != nil || some {
			return err
		}
		ids := map[string]uuid.UUID{}
		for _, slug := range []string{
			authenticationFlow, passwordlessFlow, invalidationFlow, MobileSetupFlow, totpSetupFlow, staticSetupFlow, webauthnSetupFlow,
		} {
			ids[slug] = uuid.New()
		}
		for _, f := range seedFlows(ids) {
			if err := seedOne(ctx, tx, ids[f.slug], f); err != nil {
				return fmt.Errorf("make flow %s: %w", f.slug, err)
			}
		}
		_, err := tx.Exec(ctx, `UPDATE brands SET flow_authentication = $1, flow_invalidation = $2 WHERE is_default`,
			ids[authenticationFlow], ids[invalidationFlow])
		return err
	})
}

func seedOne(ctx context.Context, tx pgx.Tx, id uuid.UUID, f seedFlow) error {
	_, err := tx.Exec(ctx, `INSERT INTO flows (flow_uuid, pbm_uuid, name, slug, title, designation, authentication)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`, id, uuid.New(), f.name, f.slug, f.title, f.designation, f.requirement)
	if err != nil {
		return err
	}
	for _, s := range f.stages {
		settings, err := json.Marshal(s.settings)
		if err != nil {
			return fmt.Errorf("encode settings of %s: %w", s.name, err)
		}
		stage := uuid.New()
		if _, err := tx.Exec(ctx, `INSERT INTO stages (stage_uuid, kind, name, settings) VALUES ($1, $2, $3, $4)`, stage, s.kind, s.name, settings); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO flow_bindings (fsb_uuid, pbm_uuid, target, stage, "order") VALUES ($1, $2, $3, $4, $5)`,
			uuid.New(), uuid.New(), id, stage, s.order)
		if err != nil {
			return err
		}
	}
	return nil
}

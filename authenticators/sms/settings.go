package sms

import (
	"context"
	"fmt"
	"net/url"
	"regexp"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/db"
	"countersign/core/fault"
	"countersign/core/resource"
	"countersign/core/secret"
	"countersign/flows"
)

// Provider is who sends the messages.
type Provider string

// The providers.
const (
	Twilio  Provider = "twilio"
	Generic Provider = "generic" // any service that takes a JSON POST
)

// Enum lists the providers.
func (Provider) Enum() []string { return []string{string(Twilio), string(Generic)} }

// SchemaName is the component's name.
func (Provider) SchemaName() string { return "ProviderEnum" }

// AuthType is how a generic provider is told who we are.
type AuthType string

// The authentications.
const (
	Basic  AuthType = "basic"
	Bearer AuthType = "bearer"
)

// Enum lists the authentications.
func (AuthType) Enum() []string { return []string{string(Basic), string(Bearer)} }

// SchemaName is the component's name.
func (AuthType) SchemaName() string { return "AuthTypeEnum" }

// Settings are what an admin chooses (core.md §2.12). Auth and AuthPassword are stored sealed and answered as Mask.
type Settings struct {
	ConfigureFlow *uuid.UUID `json:"configure_flow" api:"ref=flow" doc:"Flow used by an authenticated user to configure this stage. If empty, users cannot configure it."`
	FriendlyName  *string    `json:"friendly_name"`
	Provider      Provider   `json:"provider" api:"required"`
	FromNumber    string     `json:"from_number" api:"required"`
	AccountSID    string     `json:"account_sid" api:"required" doc:"The account at Twilio; for a generic provider the URL that messages are posted to."`
	Auth          string     `json:"auth" api:"required" doc:"Twilio's auth token; for a generic provider the bearer token, or the user name. Answered masked: the mask, sent back, keeps what is stored."`
	AuthPassword  string     `json:"auth_password" api:"blank" doc:"The password for basic authentication at a generic provider. Answered masked, as auth."`
	AuthType      AuthType   `json:"auth_type"`
	VerifyOnly    bool       `json:"verify_only" doc:"The number only proves, at the set-up, that the user has it. It is kept as a hash, so that it is not used twice, and the device is not offered at a login."`
	Mapping       *uuid.UUID `json:"mapping" doc:"Changes the payload that is sent to a generic provider. There are no webhook mappings yet: only null is taken."`
}

// Row is the stage in the API.
type Row struct {
	flows.StageRow
	Settings `db:"settings"`
}

// SchemaName is the component's name.
func (Row) SchemaName() string { return "AuthenticatorSMSStage" }

// Mask stands for a stored secret in answers (core.md §10 item 39).
const Mask = "********"

const (
	kindName = "authenticatorsmsstage"
	maxURL   = 2048
	maxText  = 256 // of the other settings, in bytes
)

var twilioSID = regexp.MustCompile(`^[A-Za-z0-9]{1,64}$`)

// The places of what is sealed.
var (
	sealedAuth     = sealedSetting("auth")
	sealedPassword = sealedSetting("auth_password")
	sealedNumber   = secret.Column{
		Table: "sms_devices", Name: "phone_sealed", Key: []string{"id"}, Bound: []string{"user_id", "stage"},
		Hash: "phone_hash", HashLabel: "telephone numbers",
	}
)

func sealedSetting(name string) secret.Column {
	return secret.Column{Table: "stages", Name: "settings", Field: name, Key: []string{"stage_uuid"}, Where: "kind = '" + kindName + "'"}
}

// Sealed is where text messages keep sealed values.
func Sealed() []secret.Column { return []secret.Column{sealedAuth, sealedPassword, sealedNumber} }

func (s *Service) definition() resource.Def[Row] {
	// A secret is filtered by what is answered for it, or the filter would be a way to guess it.
	masked := func(name string) resource.Filter {
		return resource.Filter{
			Name: name, SQL: "$1 = '" + Mask + "' AND coalesce(t.settings->>'" + name + "', '') <> ''",
			Doc: "The mask finds the rows that have one.",
		}
	}
	return resource.Def[Row]{
		Path: "/stages/authenticator/sms/",
		Filter: []string{
			"name", "configure_flow", "friendly_name", "provider", "from_number", "account_sid", "auth_type", "verify_only", "mapping",
		},
		Filters: []resource.Filter{
			{Name: "stage_uuid", Type: resource.UUID, SQL: "t.stage_uuid = $1"}, masked("auth"), masked("auth_password"),
		},
		New:        func() Row { return Row{Settings: Settings{AuthType: Basic}} },
		Validate:   validateRow,
		BeforeSave: s.sealRow,
		Load:       maskRows,
	}
}

func validateRow(_ context.Context, _ pgx.Tx, c *resource.Change[Row]) error {
	fields := fault.Fields{}
	r := c.Row
	if r.Mapping != nil {
		fields.Add("mapping", "does_not_exist", `Invalid pk "`+r.Mapping.String()+`" - object does not exist.`)
	}
	for name, text := range map[string]string{"from_number": r.FromNumber, "auth": r.Auth, "auth_password": r.AuthPassword} {
		if c.Sent(name) && len(text) > maxText {
			fields.Add(name, "max_length", fmt.Sprintf("Ensure this field has no more than %d characters.", maxText))
		}
	}
	switch r.Provider {
	case Twilio:
		if !twilioSID.MatchString(r.AccountSID) {
			fields.Add("account_sid", "invalid", "Enter the SID of a Twilio account: letters and digits.")
		}
	case Generic:
		if err := checkURL(r.AccountSID); err != "" {
			fields.Add("account_sid", "invalid", err)
		}
	}
	if c.Old == nil {
		for name, text := range map[string]string{"auth": r.Auth, "auth_password": r.AuthPassword} {
			if text == Mask {
				fields.Add(name, "invalid", "Enter the secret itself; the mask stands for one that is stored.")
			}
		}
		return fields.Err()
	}
	// Whoever may change a stage need not know its secret, and must not learn it by having it sent to themselves.
	if destination(c.Old.Settings) != destination(r.Settings) {
		const text = "Enter this again: the address that it is sent to has changed."
		if kept(c, "auth", r.Auth) {
			fields.Add("auth", "required", text)
		}
		if kept(c, "auth_password", r.AuthPassword) && c.Old.AuthPassword != "" {
			fields.Add("auth_password", "required", text)
		}
	}
	return fields.Err()
}

// kept tells whether the stored secret stays: it was not sent, or its mask was.
func kept(c *resource.Change[Row], name, value string) bool { return !c.Sent(name) || value == Mask }

// destination is the server that the secrets are sent to.
func destination(s Settings) string {
	if s.Provider == Twilio {
		return string(Twilio)
	}
	u, err := url.Parse(s.AccountSID)
	if err != nil {
		return s.AccountSID
	}
	return u.Scheme + "://" + u.Host
}

func checkURL(raw string) string {
	u, err := url.Parse(raw)
	switch {
	case len(raw) > maxURL:
		return fmt.Sprintf("Ensure this field has no more than %d characters.", maxURL)
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Fragment != "":
		return "Enter the URL that messages are posted to: https://…"
	case u.User != nil:
		return "Put the user name and the password into their own fields, not into the URL."
	}
	return ""
}

// sealRow seals secrets that came and keeps those that are stored.
func (s *Service) sealRow(_ context.Context, _ pgx.Tx, c *resource.Change[Row]) error {
	seal := func(name string, value *string, old func(*Row) string, aad string) {
		if c.Old != nil && kept(c, name, *value) {
			*value = old(c.Old)
			return
		}
		*value = s.Keeper.SealText(*value, aad)
	}
	seal("auth", &c.Row.Auth, func(r *Row) string { return r.Auth }, sealedAuth.AAD(c.Row.PK))
	seal("auth_password", &c.Row.AuthPassword, func(r *Row) string { return r.AuthPassword }, sealedPassword.AAD(c.Row.PK))
	if c.Old == nil && c.Row.AuthType == "" {
		c.Row.AuthType = Basic
	}
	return nil
}

func maskRows(_ context.Context, _ db.Querier, _ *resource.View, rows []*Row) error {
	for _, r := range rows {
		for _, text := range []*string{&r.Auth, &r.AuthPassword} {
			if *text != "" {
				*text = Mask
			}
		}
	}
	return nil
}

// account is a stage's settings with its secrets open.
type account struct {
	Settings
	auth, password string
}

func open(k *secret.Keeper, stage uuid.UUID, s Settings) (account, error) {
	a := account{Settings: s}
	var err error
	if a.auth, err = k.OpenText(s.Auth, sealedAuth.AAD(stage)); err != nil {
		return account{}, fmt.Errorf("open auth: %w", err)
	}
	if a.password, err = k.OpenText(s.AuthPassword, sealedPassword.AAD(stage)); err != nil {
		return account{}, fmt.Errorf("open auth_password: %w", err)
	}
	return a, nil
}

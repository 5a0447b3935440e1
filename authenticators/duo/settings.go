package duo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/db"
	"countersign/core/fault"
	"countersign/core/resource"
	"countersign/core/secret"
	"countersign/flows"
)

// Settings are what an admin chooses (core.md §2.13). The two secrets are stored sealed and never answered.
type Settings struct {
	ConfigureFlow       *uuid.UUID `json:"configure_flow" api:"ref=flow" doc:"Flow used by an authenticated user to configure this stage. If empty, users cannot configure it."`
	FriendlyName        *string    `json:"friendly_name"`
	ClientID            string     `json:"client_id" api:"required" doc:"The integration key of a Duo Auth API application."`
	ClientSecret        string     `json:"client_secret" api:"wo,required" doc:"Its secret key."`
	APIHostname         string     `json:"api_hostname" api:"required" doc:"The host of the API: api-….duosecurity.com."`
	AdminIntegrationKey string     `json:"admin_integration_key" api:"blank" doc:"The integration key of a Duo Admin API application, for the import of devices."`
	AdminSecretKey      string     `json:"admin_secret_key" api:"wo,blank" doc:"Its secret key."`
}

// Row is the stage in the API.
type Row struct {
	flows.StageRow
	Settings `db:"settings"`
}

// SchemaName is the component's name.
func (Row) SchemaName() string { return "AuthenticatorDuoStage" }

const (
	kindName = "authenticatorduostage"
	maxText  = 256 // bytes of a setting
)

// hostname is a host with or without a port, and nothing else of a URL.
var hostname = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(?::[0-9]{1,5})?$`)

// The places of what is sealed.
var (
	sealedClient = sealedSetting("client_secret")
	sealedAdmin  = sealedSetting("admin_secret_key")
	sealedCode   = secret.Column{Table: "duo_enrollments", Name: "activation_sealed", Key: []string{"user_id", "stage"}}
)

func sealedSetting(name string) secret.Column {
	return secret.Column{Table: "stages", Name: "settings", Field: name, Key: []string{"stage_uuid"}, Where: "kind = '" + kindName + "'"}
}

// Sealed is where Duo keeps sealed values.
func Sealed() []secret.Column { return []secret.Column{sealedClient, sealedAdmin, sealedCode} }

func (s *Service) definition() resource.Def[Row] {
	return resource.Def[Row]{
		Path:       "/stages/authenticator/duo/",
		Filter:     []string{"name", "configure_flow", "client_id", "api_hostname"},
		Validate:   validateRow,
		BeforeSave: s.sealRow,
	}
}

func validateRow(_ context.Context, _ pgx.Tx, c *resource.Change[Row]) error {
	fields := fault.Fields{}
	if !hostname.MatchString(c.Row.APIHostname) {
		fields.Add("api_hostname", "invalid", "Enter the name of the host alone, like api-1234abcd.duosecurity.com.")
	}
	for name, text := range map[string]string{
		"client_id": c.Row.ClientID, "client_secret": c.Row.ClientSecret,
		"admin_integration_key": c.Row.AdminIntegrationKey, "admin_secret_key": c.Row.AdminSecretKey,
	} {
		if c.Sent(name) && len(text) > maxText {
			fields.Add(name, "max_length", fmt.Sprintf("Ensure this field has no more than %d characters.", maxText))
		}
	}
	return fields.Err()
}

// sealRow seals the secrets that came; those that did not are as they are stored.
func (s *Service) sealRow(_ context.Context, _ pgx.Tx, c *resource.Change[Row]) error {
	if c.Sent("client_secret") {
		c.Row.ClientSecret = s.Keeper.SealText(c.Row.ClientSecret, sealedClient.AAD(c.Row.PK))
	}
	if c.Sent("admin_secret_key") {
		c.Row.AdminSecretKey = s.Keeper.SealText(c.Row.AdminSecretKey, sealedAdmin.AAD(c.Row.PK))
	}
	return nil
}

// open is the settings with their secrets open.
func open(k *secret.Keeper, stage uuid.UUID, s Settings) (Settings, error) {
	var err error
	if s.ClientSecret, err = k.OpenText(s.ClientSecret, sealedClient.AAD(stage)); err != nil {
		return Settings{}, fmt.Errorf("open client_secret: %w", err)
	}
	if s.AdminSecretKey, err = k.OpenText(s.AdminSecretKey, sealedAdmin.AAD(stage)); err != nil {
		return Settings{}, fmt.Errorf("open admin_secret_key: %w", err)
	}
	return s, nil
}

// stage reads a stage outside a flow; fault.NotFound if there is none of this kind.
func (s *Service) stage(ctx context.Context, q db.Querier, id string) (*Stage, error) {
	key, err := uuid.Parse(id)
	if err != nil {
		return nil, fault.Missing()
	}
	var name string
	var raw []byte
	err = q.QueryRow(ctx, `SELECT name, settings FROM stages WHERE stage_uuid = $1 AND kind = $2`, key, kindName).Scan(&name, &raw)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fault.Missing()
	}
	if err != nil {
		return nil, fmt.Errorf("read stage: %w", db.Fault(err))
	}
	st := &Stage{id: key, name: name, service: s}
	if err := json.Unmarshal(raw, &st.settings); err != nil {
		return nil, fmt.Errorf("decode settings of stage %s: %w", name, err)
	}
	return st, nil
}

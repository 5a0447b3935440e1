package root

import (
	"context"

	"countersign/core/api"
)

// Capability is something that a client may rely on.
type Capability string

// The capabilities of the contract.
const (
	SaveMedia   Capability = "can_save_media"
	GeoIP       Capability = "can_geo_ip"
	ASN         Capability = "can_asn"
	Impersonate Capability = "can_impersonate"
	Debug       Capability = "can_debug"
	Enterprise  Capability = "is_enterprise"
)

// Enum lists the values for the document.
func (Capability) Enum() []string {
	return []string{string(SaveMedia), string(GeoIP), string(ASN), string(Impersonate), string(Debug), string(Enterprise)}
}

// SchemaName is the component's name in the document.
func (Capability) SchemaName() string { return "CapabilitiesEnum" }

// Config is the public configuration. Cache times are seconds; 0 says that nothing is cached.
type Config struct {
	ErrorReporting         ErrorReportingConfig `json:"error_reporting" api:"required"`
	Capabilities           []Capability         `json:"capabilities" api:"required"`
	CacheTimeout           int                  `json:"cache_timeout" api:"required"`
	CacheTimeoutFlows      int                  `json:"cache_timeout_flows" api:"required"`
	CacheTimeoutPolicies   int                  `json:"cache_timeout_policies" api:"required"`
	CacheTimeoutReputation int                  `json:"cache_timeout_reputation" api:"required"`
}

// ErrorReportingConfig says where clients report their faults. Countersign reports to nobody.
type ErrorReportingConfig struct {
	Enabled          bool    `json:"enabled" api:"ro"`
	SentryDSN        string  `json:"sentry_dsn" api:"ro"`
	Environment      string  `json:"environment" api:"ro"`
	SendPII          bool    `json:"send_pii" api:"ro"`
	TracesSampleRate float64 `json:"traces_sample_rate" api:"ro,format=double"`
}

// Mount adds /root/config/; can are the capabilities that this server really has.
func Mount(a *api.API, can ...Capability) {
	config := Config{Capabilities: append([]Capability{}, can...), ErrorReporting: ErrorReportingConfig{Environment: "customer"}}
	api.Handle(a, api.Operation{Method: "GET", Path: "/root/config/", Access: api.Anonymous,
		Description: "Retrieve public configuration options"},
		func(context.Context, *api.Request, api.None) (Config, error) { return config, nil })
}

package brand

import (
	"time"

	"github.com/google/uuid"

	"countersign/core/event"
)

// App is the application label of brands in permissions and events.
const App = "authentik_brands"

// DefaultDomain is the domain of the brand that the first start makes.
const DefaultDomain = "authentik-default"

// Brand is one row and what /core/brands/ shows of it.
type Brand struct {
	PK                 uuid.UUID  `json:"brand_uuid" db:"brand_uuid" api:"pk,ro"`
	Domain             string     `json:"domain" db:"domain" api:"required,unique" doc:"Domain that activates this brand. Can be a superset, i.e. a.b for aa.b and ba.b"`
	Default            bool       `json:"default" db:"is_default"`
	Title              string     `json:"branding_title" db:"branding_title"`
	Logo               string     `json:"branding_logo" db:"branding_logo"`
	Favicon            string     `json:"branding_favicon" db:"branding_favicon"`
	FlowAuthentication *uuid.UUID `json:"flow_authentication" db:"flow_authentication" api:"ref=flow"`
	FlowInvalidation   *uuid.UUID `json:"flow_invalidation" db:"flow_invalidation" api:"ref=flow"`
	FlowRecovery       *uuid.UUID `json:"flow_recovery" db:"flow_recovery" api:"ref=flow"`
	FlowUnenrollment   *uuid.UUID `json:"flow_unenrollment" db:"flow_unenrollment" api:"ref=flow"`
	FlowUserSettings   *uuid.UUID `json:"flow_user_settings" db:"flow_user_settings" api:"ref=flow"`
	FlowDeviceCode     *uuid.UUID `json:"flow_device_code" db:"flow_device_code" api:"ref=flow"`
	WebCertificate     *uuid.UUID `json:"web_certificate" doc:"Web Certificate used by the Core webserver."`
	Attributes         any        `json:"attributes" db:"attributes"` // an object; the document says any
}

// The looks of a brand that says nothing else.
const (
	defaultTitle   = "Countersign"
	defaultLogo    = "/static/brand/logo.svg"
	defaultFavicon = "/static/brand/favicon.svg"
)

// New makes a brand with the usual looks.
func New() Brand {
	return Brand{Title: defaultTitle, Logo: defaultLogo, Favicon: defaultFavicon, Attributes: map[string]any{}}
}

// Ref is the brand as events name it.
func (b *Brand) Ref() *event.Ref {
	r := event.Model(b.PK, App, "brand", "Brand "+b.Domain)
	if b.Default {
		r.Name = "Default brand"
	}
	return &r
}

// Values are the brand's attributes.
func (b *Brand) Values() map[string]any {
	values, _ := b.Attributes.(map[string]any)
	return values
}

// Locale is the language that the brand asks for, "" for none.
func (b *Brand) Locale() string { return setting(b.Values(), "settings", "locale") }

// Theme is how the brand's pages look; automatic is the browser's choice.
func (b *Brand) Theme() Theme {
	switch t := Theme(setting(b.Values(), "settings", "theme", "base")); t {
	case Light, Dark:
		return t
	}
	return Automatic
}

// Theme is a choice of colours.
type Theme string

// The themes.
const (
	Automatic Theme = "automatic"
	Light     Theme = "light"
	Dark      Theme = "dark"
)

// Enum lists the values for the document.
func (Theme) Enum() []string { return []string{string(Automatic), string(Light), string(Dark)} }

// SchemaName is the component's name in the document.
func (Theme) SchemaName() string { return "UiThemeEnum" }

// setting reads a text in nested maps, "" where there is none.
func setting(values map[string]any, path ...string) string {
	for _, name := range path[:len(path)-1] {
		next, ok := values[name].(map[string]any)
		if !ok {
			return ""
		}
		values = next
	}
	s, _ := values[path[len(path)-1]].(string)
	return s
}

// snapshot is all brands at one moment, and the slugs of the flows that they name.
type snapshot struct {
	brands []*Brand // longest domain first, so that the first match is the closest
	slugs  map[uuid.UUID]string
	at     time.Time
}

package brand

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"countersign/core/api"
	"countersign/core/db"
	"countersign/core/fault"
	"countersign/core/resource"
)

// Mount adds /core/brands/ and current/.
func (s *Store) Mount(a *api.API, reg *resource.Registry) {
	resource.Mount(reg, resource.Def[Brand]{
		Name: "brand", App: App, Label: "Brand", Path: "/core/brands/", Table: "brands", Doc: "Brand Viewset", Display: "domain",
		Filter: []string{"brand_uuid", "domain", "default", "branding_title", "branding_logo", "branding_favicon", "flow_authentication",
			"flow_invalidation", "flow_recovery", "flow_unenrollment", "flow_user_settings", "flow_device_code"},
		Filters: []resource.Filter{{Name: "web_certificate", Type: resource.UUID, SQL: `$1::uuid IS NULL`}},
		Search:  []string{"domain", "branding_title"},
		Order:   []string{"domain"},
		New:     New, Validate: s.validate,
		AfterSave:   func(_ context.Context, _ pgx.Tx, _ *resource.Change[Brand]) error { s.Invalidate(); return nil },
		AfterDelete: func(_ context.Context, _ pgx.Tx, _ *resource.Change[Brand]) error { s.Invalidate(); return nil },
	})
	api.Handle(a, api.Operation{Method: "GET", Path: "/core/brands/current/", Access: api.Anonymous, Description: "Get current brand"}, s.currentBrand)
}

// validate allows one default brand (ring.md §3.3) and no certificate, as none can be stored yet.
func (s *Store) validate(ctx context.Context, tx pgx.Tx, c *resource.Change[Brand]) error {
	errs := fault.Fields{}
	if _, ok := c.Row.Attributes.(map[string]any); !ok {
		errs.Add("attributes", "invalid", "Expected a JSON object.")
	}
	if c.Row.WebCertificate != nil {
		errs.Add("web_certificate", "does_not_exist", fmt.Sprintf("Invalid pk %q - object does not exist.", c.Row.WebCertificate))
	}
	if c.Row.Default && (c.Old == nil || !c.Old.Default) {
		var taken bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM brands WHERE is_default AND brand_uuid <> $1)`, c.Row.PK).Scan(&taken); err != nil {
			return fmt.Errorf("look for the default brand: %w", db.Fault(err))
		}
		if taken {
			errs.Add("default", "unique", "Only a single brand can be set as default.")
		}
	}
	return errs.Err()
}

// CurrentBrand is what a page needs to look right before anyone has logged in. A flow that is not set is left out.
type CurrentBrand struct {
	MatchedDomain      string       `json:"matched_domain" api:"required"`
	Title              string       `json:"branding_title" api:"required"`
	Logo               string       `json:"branding_logo" api:"required"`
	Favicon            string       `json:"branding_favicon" api:"required"`
	FooterLinks        []FooterLink `json:"ui_footer_links" api:"ro"`
	Theme              Theme        `json:"ui_theme" api:"ro,default=automatic"`
	FlowAuthentication string       `json:"flow_authentication,omitempty"`
	FlowInvalidation   string       `json:"flow_invalidation,omitempty"`
	FlowRecovery       string       `json:"flow_recovery,omitempty"`
	FlowUnenrollment   string       `json:"flow_unenrollment,omitempty"`
	FlowUserSettings   string       `json:"flow_user_settings,omitempty"`
	FlowDeviceCode     string       `json:"flow_device_code,omitempty"`
	DefaultLocale      string       `json:"default_locale" api:"ro"`
}

// FooterLink is a link at the foot of the pages.
type FooterLink struct {
	Href string `json:"href" api:"ro"`
	Name string `json:"name" api:"ro"`
}

func (s *Store) currentBrand(ctx context.Context, r *api.Request, _ api.None) (CurrentBrand, error) {
	snap, err := s.snapshot(ctx)
	if err != nil {
		return CurrentBrand{}, err
	}
	b := snap.match(r.Host())
	return CurrentBrand{
		MatchedDomain: b.Domain, Title: b.Title, Logo: b.Logo, Favicon: b.Favicon, Theme: b.Theme(), DefaultLocale: b.Locale(),
		FlowAuthentication: snap.slug(b.FlowAuthentication), FlowInvalidation: snap.slug(b.FlowInvalidation),
		FlowRecovery: snap.slug(b.FlowRecovery), FlowUnenrollment: snap.slug(b.FlowUnenrollment),
		FlowUserSettings: snap.slug(b.FlowUserSettings), FlowDeviceCode: snap.slug(b.FlowDeviceCode),
	}, nil
}

package flows

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/api"
	"countersign/core/db"
	"countersign/core/resource"
)

// Designation is what a flow is for.
type Designation string

// The designations.
const (
	Authentication     Designation = "authentication"
	Authorization      Designation = "authorization"
	Invalidation       Designation = "invalidation"
	Enrollment         Designation = "enrollment"
	Unenrollment       Designation = "unenrollment"
	Recovery           Designation = "recovery"
	StageConfiguration Designation = "stage_configuration"
)

// Enum lists the designations.
func (Designation) Enum() []string {
	return []string{
		string(Authentication), string(Authorization), string(Invalidation), string(Enrollment),
		string(Unenrollment), string(Recovery), string(StageConfiguration),
	}
}

// SchemaName is the component's name.
func (Designation) SchemaName() string { return "FlowDesignationEnum" }

// DeniedAction is what becomes of a caller to whom a flow does not apply.
type DeniedAction string

// The actions (core.md §1.6).
const (
	DeniedMessageContinue DeniedAction = "message_continue"
	DeniedMessage         DeniedAction = "message"
	DeniedContinue        DeniedAction = "continue"
)

// Enum lists the actions.
func (DeniedAction) Enum() []string {
	return []string{string(DeniedMessageContinue), string(DeniedMessage), string(DeniedContinue)}
}

// SchemaName is the component's name.
func (DeniedAction) SchemaName() string { return "DeniedActionEnum" }

// Requirement is what a flow asks of the caller before it starts.
type Requirement string

// The requirements (core.md §1.4).
const (
	RequireNone            Requirement = "none"
	RequireAuthenticated   Requirement = "require_authenticated"
	RequireUnauthenticated Requirement = "require_unauthenticated"
	RequireSuperuser       Requirement = "require_superuser"
	RequireOutpost         Requirement = "require_outpost"
)

// Enum lists the requirements.
func (Requirement) Enum() []string {
	return []string{
		string(RequireNone), string(RequireAuthenticated), string(RequireUnauthenticated),
		string(RequireSuperuser), string(RequireOutpost),
	}
}

// SchemaName is the component's name.
func (Requirement) SchemaName() string { return "AuthenticationEnum" }

// PolicyMode says how bound policies combine. No policy can be bound yet; the setting is kept.
type PolicyMode string

// Enum lists the modes.
func (PolicyMode) Enum() []string { return []string{"all", "any"} }

// SchemaName is the component's name.
func (PolicyMode) SchemaName() string { return "PolicyEngineMode" }

// SchemaName is the component's name.
func (Layout) SchemaName() string { return "FlowLayoutEnum" }

// defaultBackground is the picture behind a flow that has none of its own.
const defaultBackground = "/static/brand/background.svg"

// Flow is one flow: a row, and its JSON (core.md §1.1).
type Flow struct {
	PK             uuid.UUID    `json:"pk" db:"flow_uuid" api:"pk,ro,title=Flow uuid"`
	PBM            uuid.UUID    `json:"policybindingmodel_ptr_id" db:"pbm_uuid" api:"ro"`
	Name           string       `json:"name" db:"name" api:"required"`
	Slug           string       `json:"slug" db:"slug" api:"required,unique,max=50,format=slug" doc:"Visible in the URL."`
	Title          string       `json:"title" db:"title" api:"required" doc:"Shown as the title in flow pages."`
	Designation    Designation  `json:"designation" db:"designation" api:"required" doc:"Decides what this flow is used for."`
	Background     string       `json:"background" api:"ro" doc:"URL of the picture behind the flow."`
	StoredPicture  string       `json:"-" db:"background"`
	Stages         []uuid.UUID  `json:"stages" api:"ro"`
	Policies       []uuid.UUID  `json:"policies" api:"ro"`
	CacheCount     int          `json:"cache_count" api:"ro" doc:"Plans of this flow that are cached."`
	PolicyMode     PolicyMode   `json:"policy_engine_mode" db:"policy_engine_mode"`
	Compatibility  bool         `json:"compatibility_mode" db:"compatibility_mode" doc:"Increases compatibility with password managers on mobile devices."`
	ExportURL      string       `json:"export_url" api:"ro" doc:"URL to export the flow."`
	Layout         Layout       `json:"layout" db:"layout"`
	DeniedAction   DeniedAction `json:"denied_action" db:"denied_action" doc:"What happens when a flow denies access to a user."`
	Authentication Requirement  `json:"authentication" db:"authentication" doc:"Level of authentication needed to access a flow."`
}

// BackgroundURL is the picture behind the flow.
func (f *Flow) BackgroundURL() string {
	if f.StoredPicture == "" {
		return defaultBackground
	}
	if strings.HasPrefix(f.StoredPicture, "http") || strings.HasPrefix(f.StoredPicture, "/static") {
		return f.StoredPicture
	}
	return "/media/" + f.StoredPicture
}

func (f *Flow) exportURL() string { return api.Prefix + "/flows/instances/" + f.Slug + "/export/" }

// MountFlows adds /flows/instances/.
func MountFlows(r *resource.Registry) {
	resource.Mount(r, resource.Def[Flow]{
		Name: "flow", App: "authentik_flows", Path: "/flows/instances/", Table: "flows", Doc: "Flow Viewset",
		Lookup: "slug",
		Filter: []string{"name", "slug", "designation", "denied_action"},
		Filters: []resource.Filter{
			{Name: "flow_uuid", Type: resource.UUID, SQL: "t.flow_uuid = $1"},
		},
		Search: []string{"name", "slug", "designation", "title", "denied_action"},
		Order:  []string{"slug", "name"},
		New: func() Flow {
			return Flow{
				PBM: uuid.New(), PolicyMode: "any", Layout: "stacked",
				DeniedAction: DeniedMessageContinue, Authentication: RequireNone,
			}
		},
		Load: loadFlows,
	})
}

func loadFlows(ctx context.Context, q db.Querier, _ *resource.View, flows []*Flow) error {
	ids := make([]uuid.UUID, 0, len(flows))
	byID := make(map[uuid.UUID]*Flow, len(flows))
	for _, f := range flows {
		f.Background, f.ExportURL = f.BackgroundURL(), f.exportURL()
		f.Stages, f.Policies = []uuid.UUID{}, []uuid.UUID{}
		ids, byID[f.PK] = append(ids, f.PK), f
	}
	rows, err := q.Query(ctx, `SELECT target, stage FROM flow_bindings WHERE target = ANY($1) ORDER BY "order", fsb_uuid`, ids)
	if err != nil {
		return fmt.Errorf("load stages of flows: %w", err)
	}
	var flow, stage uuid.UUID
	_, err = pgx.ForEachRow(rows, []any{&flow, &stage}, func() error {
		byID[flow].Stages = append(byID[flow].Stages, stage)
		return nil
	})
	if err != nil {
		return fmt.Errorf("load stages of flows: %w", err)
	}
	return nil
}

// FlowSet is the short form of a flow that stages carry.
type FlowSet struct {
	PK            uuid.UUID    `json:"pk" api:"pk,ro,title=Flow uuid"`
	PBM           uuid.UUID    `json:"policybindingmodel_ptr_id" api:"ro"`
	Name          string       `json:"name" api:"required"`
	Slug          string       `json:"slug" api:"required,max=50,format=slug" doc:"Visible in the URL."`
	Title         string       `json:"title" api:"required" doc:"Shown as the title in flow pages."`
	Designation   Designation  `json:"designation" api:"required" doc:"Decides what this flow is used for."`
	Background    string       `json:"background" api:"ro" doc:"URL of the picture behind the flow."`
	PolicyMode    PolicyMode   `json:"policy_engine_mode"`
	Compatibility bool         `json:"compatibility_mode" doc:"Increases compatibility with password managers on mobile devices."`
	ExportURL     string       `json:"export_url" api:"ro" doc:"URL to export the flow."`
	Layout        Layout       `json:"layout"`
	DeniedAction  DeniedAction `json:"denied_action" doc:"What happens when a flow denies access to a user."`
}

func (f *Flow) set() FlowSet {
	return FlowSet{
		PK: f.PK, PBM: f.PBM, Name: f.Name, Slug: f.Slug, Title: f.Title, Designation: f.Designation,
		Background: f.BackgroundURL(), PolicyMode: f.PolicyMode, Compatibility: f.Compatibility,
		ExportURL: f.exportURL(), Layout: f.Layout, DeniedAction: f.DeniedAction,
	}
}

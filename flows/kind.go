package flows

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/core/api"
	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/resource"
)

// StageRow is what all stages have in common (core.md §1.3).
type StageRow struct {
	PK                uuid.UUID `json:"pk" db:"stage_uuid" api:"pk,ro,title=Stage uuid"`
	KindName          string    `json:"-" db:"kind"`
	Name              string    `json:"name" db:"name" api:"required,unique"`
	Component         string    `json:"component" api:"ro" doc:"The form that edits the object."`
	VerboseName       string    `json:"verbose_name" api:"ro" doc:"The object's kind, for people."`
	VerboseNamePlural string    `json:"verbose_name_plural" api:"ro" doc:"The object's kind in the plural."`
	MetaModelName     string    `json:"meta_model_name" api:"ro" doc:"The object's model."`
	FlowSet           []FlowSet `json:"flow_set"`
}

// SchemaName is the component's name.
func (StageRow) SchemaName() string { return "Stage" }

// Exchange documents a challenge that a kind shows and the answer that it takes: example values of the two structs.
type Exchange struct {
	Component string
	Challenge any
	Response  any // nil: none is taken
}

// Ahead is what a stage reads in the round trip that loads the session, before anybody knows whether the answer is for it.
// The stage takes it by Run.Ahead, and has to see for itself whether it is what it needs.
type Ahead interface {
	Queue(b *pgx.Batch)
}

// Kind is one kind of stage: all that the engine, the API and its document know of it. NewKind makes one.
type Kind struct {
	resource.KindInfo
	Model string // the value of stages.kind: KindInfo.Name

	// UserSettings is the component by which people configure it for themselves; "" is none.
	UserSettings string
	// AlwaysListed lists the kind in people's settings even if it names no configure_flow.
	AlwaysListed bool

	Build     Builder
	Exchanges []Exchange

	// Ahead, if not nil, foresees from an answer what its stage is going to read; nil: nothing.
	Ahead func(a Answer, o *event.Origin) Ahead

	// Around, if not nil, stands around each Begin and Answer of the kind's stages, which is do: a rule that they have in common.
	// It may refuse by an outcome of its own.
	Around func(ctx context.Context, run *Run, do func() (Outcome, error)) (Outcome, error)

	mount func(*resource.MountedFamily[StageRow])
}

// NewKind joins the API half of a kind, a resource over T, with the engine half. T embeds StageRow, which base
// finds, and the settings struct S tagged db:"settings"; build makes the stage from S.
func NewKind[T, S any](info resource.KindInfo, base func(*T) *StageRow, def resource.Def[T],
	build func(id uuid.UUID, name string, settings S) (Stage, error), exchanges ...Exchange,
) *Kind {
	if def.Search == nil {
		def.Search = []string{"name"}
	}
	if def.Order == nil {
		def.Order = []string{"name"}
	}
	return &Kind{
		KindInfo: info, Model: info.Name, Exchanges: exchanges,
		Build: func(id uuid.UUID, name string, raw json.RawMessage) (Stage, error) {
			var s S
			if err := json.Unmarshal(raw, &s); err != nil {
				return nil, fmt.Errorf("decode settings: %w", err)
			}
			return build(id, name, s)
		},
		mount: func(f *resource.MountedFamily[StageRow]) { resource.MountKind(f, info, base, def) },
	}
}

// MountStages adds /stages/all/ and each kind's own path.
func MountStages(a *api.API, r *resource.Registry, pool *pgxpool.Pool, kinds []*Kind) {
	// Everybody may see what they can set up for themselves, though not the stages behind it.
	api.Handle(a, api.Operation{
		Method: "GET", Path: "/stages/all/user_settings/", Description: "Get all stages the user can configure",
	}, userSettings(pool, kinds))
	family := resource.MountFamily(r, resource.Family[StageRow]{
		Kind: "kind", Settings: "settings",
		Describe: func(row *StageRow, k resource.KindInfo) {
			row.Component, row.VerboseName, row.VerboseNamePlural = k.Component, k.Label, k.Plural
			row.MetaModelName = k.App + "." + k.Name
		},
		Def: resource.Def[StageRow]{
			Name: "stage", App: "authentik_flows", Path: "/stages/all/", Table: "stages", Doc: "Stage Viewset",
			Filter: []string{"name"}, Search: []string{"name"}, Order: []string{"name"},
			Load: loadStages,
		},
	})
	for _, k := range kinds {
		k.mount(family)
	}
}

func loadStages(ctx context.Context, q db.Querier, _ *resource.View, stages []*StageRow) error {
	ids := make([]uuid.UUID, 0, len(stages))
	byID := make(map[uuid.UUID]*StageRow, len(stages))
	for _, s := range stages {
		s.FlowSet = []FlowSet{}
		ids, byID[s.PK] = append(ids, s.PK), s
	}
	rows, err := q.Query(ctx, `SELECT DISTINCT b.stage, f.* FROM flow_bindings b JOIN flows f ON f.flow_uuid = b.target
		WHERE b.stage = ANY($1) ORDER BY f.slug`, ids)
	if err != nil {
		return fmt.Errorf("load flows of stages: %w", err)
	}
	type boundFlow struct {
		Stage uuid.UUID `db:"stage"`
		Flow
	}
	bound, err := pgx.CollectRows(rows, pgx.RowToStructByNameLax[boundFlow])
	if err != nil {
		return fmt.Errorf("load flows of stages: %w", err)
	}
	for i := range bound {
		s := byID[bound[i].Stage]
		s.FlowSet = append(s.FlowSet, bound[i].set())
	}
	return nil
}

// UserSetting is one thing that a person can configure for themselves.
type UserSetting struct {
	ObjectUID    string `json:"object_uid" api:"required"`
	Component    string `json:"component" api:"required"`
	Title        string `json:"title" api:"required"`
	ConfigureURL string `json:"configure_url,omitempty"`
	IconURL      string `json:"icon_url,omitempty"`
}

func userSettings(pool *pgxpool.Pool, kinds []*Kind) func(context.Context, *api.Request, api.None) ([]UserSetting, error) {
	listed := map[string]*Kind{}
	for _, k := range kinds {
		if k.UserSettings != "" {
			listed[k.Model] = k
		}
	}
	models := sortedKeys(listed)
	return func(ctx context.Context, _ *api.Request, _ api.None) ([]UserSetting, error) {
		rows, err := pool.Query(ctx, `SELECT stage_uuid, kind, coalesce(settings->>'friendly_name', ''),
			coalesce(settings->>'configure_flow', '') FROM stages WHERE kind = ANY($1) ORDER BY name`, models)
		if err != nil {
			return nil, fmt.Errorf("list user settings: %w", db.Fault(err))
		}
		out := []UserSetting{}
		var id uuid.UUID
		var model, title, flow string
		_, err = pgx.ForEachRow(rows, []any{&id, &model, &title, &flow}, func() error {
			k := listed[model]
			if flow == "" && !k.AlwaysListed {
				return nil
			}
			s := UserSetting{ObjectUID: id.String(), Component: k.UserSettings, Title: title}
			if title == "" {
				s.Title = k.Label
			}
			if flow != "" {
				s.ConfigureURL = "/flows/-/configure/" + id.String() + "/"
			}
			out = append(out, s)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("list user settings: %w", db.Fault(err))
		}
		sort.SliceStable(out, func(i, j int) bool { return out[i].Title < out[j].Title })
		return out, nil
	}
}

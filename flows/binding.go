package flows

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/db"
	"countersign/core/fault"
	"countersign/core/resource"
)

// InvalidResponseAction is what a failed answer does to the flow.
type InvalidResponseAction string

// Enum lists the actions.
func (InvalidResponseAction) Enum() []string {
	return []string{"retry", "restart", "restart_with_context"}
}

// SchemaName is the component's name.
func (InvalidResponseAction) SchemaName() string { return "InvalidResponseActionEnum" }

// FlowStageBinding puts a stage into a flow (core.md §1.2).
type FlowStageBinding struct {
	PK         uuid.UUID             `json:"pk" db:"fsb_uuid" api:"pk,ro,title=Fsb uuid"`
	PBM        uuid.UUID             `json:"policybindingmodel_ptr_id" db:"pbm_uuid" api:"ro"`
	Target     uuid.UUID             `json:"target" db:"target" api:"required,ref=flow"`
	Stage      uuid.UUID             `json:"stage" db:"stage" api:"required,ref=stage"`
	StageObj   *StageRow             `json:"stage_obj" api:"ro"`
	OnPlan     bool                  `json:"evaluate_on_plan" db:"evaluate_on_plan" doc:"Evaluate policies during the planning of the flow."`
	ReEvaluate bool                  `json:"re_evaluate_policies" db:"re_evaluate_policies" doc:"Evaluate policies when the stage is presented to the user."`
	Order      int32                 `json:"order" db:"order" api:"required"`
	PolicyMode PolicyMode            `json:"policy_engine_mode" db:"policy_engine_mode"`
	OnInvalid  InvalidResponseAction `json:"invalid_response_action" db:"invalid_response_action" doc:"What the executor does with an invalid answer: RETRY shows the error and the challenge again, RESTART begins the flow anew, RESTART_WITH_CONTEXT begins it anew and keeps the context."`
}

// MountBindings adds /flows/bindings/.
func MountBindings(r *resource.Registry, kinds []*Kind) {
	byModel := map[string]*Kind{}
	for _, k := range kinds {
		byModel[k.Model] = k
	}
	resource.Mount(r, resource.Def[FlowStageBinding]{
		Name: "flowstagebinding", App: "authentik_flows", Path: "/flows/bindings/", Table: "flow_bindings",
		Doc: "FlowStageBinding Viewset", Display: "pk",
		Unique: [][]string{{"target", "stage", "order"}},
		Filter: []string{
			"target", "stage", "evaluate_on_plan", "re_evaluate_policies", "order", "policy_engine_mode", "invalid_response_action",
		},
		Filters: []resource.Filter{
			{Name: "fsb_uuid", Type: resource.UUID, SQL: "t.fsb_uuid = $1"},
			{Name: "pbm_uuid", Type: resource.UUID, SQL: "t.pbm_uuid = $1"},
			// Nothing binds a policy yet, so no binding has one.
			{Name: "policies", Type: resource.UUIDs, SQL: "cardinality($1::uuid[]) = 0"},
		},
		Search:  []string{"(SELECT s.name FROM stages s WHERE s.stage_uuid = t.stage)"},
		Order:   []string{"order"},
		OrderBy: map[string]string{"stage__name": "(SELECT s.name FROM stages s WHERE s.stage_uuid = t.stage)"},
		New: func() FlowStageBinding {
			return FlowStageBinding{PBM: uuid.New(), ReEvaluate: true, PolicyMode: "any", OnInvalid: "retry"}
		},
		Validate: func(_ context.Context, _ pgx.Tx, c *resource.Change[FlowStageBinding]) error {
			// A PATCH is judged by what it sends, absent ones taken as false and true (core.md §1.2).
			onPlan := c.Sent("evaluate_on_plan") && c.Row.OnPlan
			reEvaluate := !c.Sent("re_evaluate_policies") || c.Row.ReEvaluate
			if !onPlan && !reEvaluate {
				return fault.Field(fault.NonField, "invalid", "Either evaluation on plan or evaluation on run must be enabled")
			}
			return nil
		},
		Load: func(ctx context.Context, q db.Querier, v *resource.View, rows []*FlowStageBinding) error {
			return loadStageObjects(ctx, q, v, byModel, rows)
		},
	})
}

func loadStageObjects(ctx context.Context, q db.Querier, v *resource.View, kinds map[string]*Kind, bindings []*FlowStageBinding) error {
	ids := make([]uuid.UUID, 0, len(bindings))
	for _, b := range bindings {
		ids = append(ids, b.Stage)
	}
	rows, err := q.Query(ctx, `SELECT stage_uuid, kind, name FROM stages WHERE stage_uuid = ANY($1)`, ids)
	if err != nil {
		return fmt.Errorf("load stages of bindings: %w", err)
	}
	byID := map[uuid.UUID]*StageRow{}
	stages := []*StageRow{}
	var s StageRow
	var model string
	_, err = pgx.ForEachRow(rows, []any{&s.PK, &model, &s.Name}, func() error {
		row := s
		if k := kinds[model]; k != nil {
			row.Component, row.VerboseName, row.VerboseNamePlural = k.Component, k.Label, k.Plural
			row.MetaModelName = k.App + "." + k.Name
		}
		stages, byID[row.PK] = append(stages, &row), &row
		return nil
	})
	if err != nil {
		return fmt.Errorf("load stages of bindings: %w", err)
	}
	if err := loadStages(ctx, q, v, stages); err != nil {
		return err
	}
	for _, b := range bindings {
		b.StageObj = byID[b.Stage]
	}
	return nil
}

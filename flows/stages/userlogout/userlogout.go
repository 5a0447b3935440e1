package userlogout

import (
	"context"

	"github.com/google/uuid"

	"countersign/core/resource"
	"countersign/core/session"
	"countersign/flows"
)

// Settings are none.
type Settings struct{}

// Row is the stage in the API.
type Row struct {
	flows.StageRow
	Settings `db:"settings"`
}

// SchemaName is the component's name.
func (Row) SchemaName() string { return "UserLogoutStage" }

// Kind makes the kind.
func Kind(sessions *session.Store) *flows.Kind {
	return flows.NewKind(
		resource.KindInfo{
			Name: "userlogoutstage", App: "authentik_stages_user_logout", Label: "User Logout Stage", Plural: "User Logout Stages",
			Component: "ak-stage-user-logout-form", Description: "Resets the users current session.",
		},
		func(r *Row) *flows.StageRow { return &r.StageRow },
		resource.Def[Row]{Path: "/stages/user_logout/", Filter: []string{"name"}, Filters: []resource.Filter{
			{Name: "stage_uuid", Type: resource.UUID, SQL: "t.stage_uuid = $1"},
		}},
		func(uuid.UUID, string, Settings) (flows.Stage, error) {
			return flows.Automatic{Do: func(ctx context.Context, run *flows.Run) (flows.Outcome, error) {
				if run.Actor == nil {
					return flows.Next(), nil
				}
				tx, err := run.Tx(ctx)
				if err != nil {
					return flows.Outcome{}, err
				}
				cookie, err := sessions.Logout(ctx, tx, run.Session)
				if err != nil {
					return flows.Outcome{}, err
				}
				run.SetCookie(cookie)
				run.EndSession()
				return flows.Next(), nil
			}}, nil
		},
	)
}

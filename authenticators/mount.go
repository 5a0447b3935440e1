package authenticators

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"

	"countersign/core/db"
	"countersign/core/fault"
	"countersign/core/rbac"
	"countersign/core/resource"
)

// MountDevices adds /authenticators/<kind>/, where people see their own devices, and /authenticators/admin/<kind>/
// (core.md §5). def says what is the kind's own: names, Path of the first, Table with a column user_id, Doc, Load, and with
// Base which devices the first shows. owner is the user of a row. The contract's POST for administrators can name neither
// a user nor a secret, so it is refused with the words of refusal.
func MountDevices[T any](r *resource.Registry, def resource.Def[T], owner func(*T) int, refusal string) {
	def.Filter, def.Search, def.Order = []string{"name"}, []string{"name"}, []string{"name"}
	own := def
	own.Verbs = resource.Verbs{resource.List, resource.Retrieve, resource.Update, resource.PartialUpdate, resource.Destroy, resource.UsedBy}
	own.Visible = func(a *rbac.Actor) db.Pred { return db.Pred{SQL: "t.user_id = $1", Args: []any{a.ID}} }
	own.Allow = func(a *rbac.Actor, verb resource.Verb, row *T) bool {
		// Administrators list everybody's here and open their own.
		return verb == resource.List || row != nil && owner(row) == a.ID
	}
	resource.Mount(r, own)

	all := def
	all.Path, all.Doc, all.Base = strings.Replace(def.Path, "/authenticators/", "/authenticators/admin/", 1), def.Doc+" (for admins)", db.Pred{}
	all.Verbs = resource.Verbs{resource.List, resource.Create, resource.Retrieve, resource.Update, resource.PartialUpdate, resource.Destroy}
	all.Validate = func(_ context.Context, _ pgx.Tx, c *resource.Change[T]) error {
		if c.Old == nil {
			return fault.Field(fault.NonField, "invalid", refusal)
		}
		return nil
	}
	resource.Mount(r, all)
}

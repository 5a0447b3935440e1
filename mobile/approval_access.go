package mobile

import (
	"context"
	"slices"

	"countersign/core/api"
	"countersign/core/fault"
	"countersign/core/user"
)

// PermissionApprovals lets an application ask users to approve something, and see and cancel what it asked itself.
const PermissionApprovals = app + ".add_mobileapproval"

// permissionsAttribute of a user, or of a group that they are in, lists the permissions that they hold without being superusers. Only
// superusers can change attributes.
const permissionsAttribute = "goauthentik.io/user/permissions"

// mayApprove demands PermissionApprovals, which superusers hold. Errors: Denied.
func (s *Service) mayApprove(ctx context.Context, r *api.Request) error {
	if r.Actor == nil {
		return fault.Forbidden()
	}
	if r.Actor.Can(PermissionApprovals) {
		return nil
	}
	groups, err := s.Users.Membership(ctx, s.Pool, r.Actor.ID)
	if err != nil {
		return err
	}
	given, _ := user.MergedAttributes(nil, groups, &user.User{Attributes: r.Actor.Attributes})[permissionsAttribute].([]any)
	if !slices.Contains(given, any(PermissionApprovals)) {
		return fault.Forbidden()
	}
	return nil
}

// Package group is groups of users: /core/groups/, membership seen from the group, and the tree that groups form.
//
// It owns the table groups and the rule that the tree has no circle. Membership (group_members) is shared with
// core/user, which writes it from the other side. It does not own permissions: until there are roles, a group's roles
// are empty and a list of some is refused.
//
//	superuser group ◀─ parent ─ group ◀─ member ─ user        a user has all groups above their own;
//	                                                          is_superuser anywhere among them makes a superuser
//
// Every change of members writes an event of its own that says who was added and removed, also when a PUT without
// users empties the group (core.md §10 item 45).
package group

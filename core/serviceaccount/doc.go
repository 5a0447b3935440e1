// Package serviceaccount serves POST /core/users/service_account/: a user for a program, its app password and, if
// asked, a group of its own, made in one transaction (core.md §6.1).
//
// It joins core/user, core/group and core/token, none of which may know the others that way, and owns nothing itself.
package serviceaccount

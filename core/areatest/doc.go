// Package areatest serves the areas' resources to their tests as the program does: one database, one API, two people.
//
// It is for the tests of core/user, group, token, session, brand, root, eventlog, serviceaccount and bootstrap; nothing
// else imports it.
package areatest

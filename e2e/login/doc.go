// Package login is the suite of the main job: a phone approves a login, or does not, in every way that a person meets.
package login

// Package demo shows the main job on one machine with nothing to set up: a real server on a real PostgreSQL, a double
// of Firebase Cloud Messaging, and a simulated phone that a person holds as a web page.
//
// It owns the stage, not the play: the server is cmd/app as anybody runs it, reached over HTTP alone; push service,
// phone and scripted browser are the simulator's.
//
//	scripted browser ─▶ server ─▶ FCM double ─▶ phone (page) ─▶ server
//
// Beside it some colleagues' phones are at work, which the simulator's desk shows: Stage.Desk.
//
// Stage.Once plays it without a person: enrol, approve, deny, wrong number, no answer, each with a timeline.
package demo

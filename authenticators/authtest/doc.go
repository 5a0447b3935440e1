// Package authtest is what every kind of authenticator is put through: enrol, verify, wrong and malformed answers,
// replay, time, another user's device, the throttle, removal, several at once, what a dump of the database shows, and
// the device API. It walks the kind's own set-up stage and the validation stage as a browser does, on a database of its
// own and on two nodes.
//
// It owns no behaviour of the product and is imported by tests alone.
//
//	Suite.New(bench) ─▶ Subject{Kind, Stages, Mount}
//	    set-up flow: Stages[0] ─▶ Subject.Enrol ─▶ Device{Right, Wrong, Secrets}
//	    login flow:  validate ─▶ choose the device ─▶ Device.Right | Device.Wrong ─▶ marker
//
// A kind whose answers come from elsewhere, a phone's, does in Right what the phone does and gives what the browser then
// posts; parts that do not apply to it are left out by the fields of Suite.
package authtest

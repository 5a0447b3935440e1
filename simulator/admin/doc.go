// Package admin is the server's API under an administrator's token, as far as the simulator needs it: people are made for a run and
// removed after it. It owns no phone and no login; those are browser's and phone's.
//
//	Create: POST /core/users/ ─▶ (a user of that name is left over: DELETE, POST again) ─▶ set_password ─▶ Remove: DELETE
package admin

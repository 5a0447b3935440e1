// Package conformance looks at a server from outside, by the requirements on a push authenticator's server, T1 to T24, and by the
// phones that it has to get on with. It owns the list of what proves which requirement, and the matrix of phones; the proofs of
// the requirements are the attacks of package attack, and there is no second way to look. What is proved from inside, test by
// test, is another matter: that is `go run ./cmd/dev conformance`.
//
//	Run:  attack.Run ─▶ the attacks that prove T1 … T24 ─▶ a requirement is broken if one of its attacks is, else failed if one of
//	      them is, else held if one held, else not applicable; without an attack it is not observable, and why is said
//	Skew: a set-up flow for each kind of answer that a server may accept ─▶ each kind of phone enrols, approves, denies ─▶ matrix
package conformance

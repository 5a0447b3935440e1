// Package validate is the stage that asks for a second factor (core.md §3). It owns the choice among devices, what
// happens when there is none, and the cookie of a recent validation; each kind's own part is authenticators.Method.
//
//	             no device: skip ─▶ next · deny · configure ─▶ set-up stage(s)
//	begin ─▶ devices of the allowed classes ─▶ offers, kept in the plan ─▶ challenge
//	             nobody is named: what finds its owner by itself (authenticators.Passwordless), in a flow that authenticates
//	answer ─▶ selected_challenge ─▶ Method.Select ─▶ the challenge again ("Empty response", by contract)
//	       ─▶ the kind's own field ─▶ Method.Answer ─▶ next · stay · deny · wait
//
// Choosing a device is no failed answer. A proof that comes along with the choice is checked, and nothing is asked anew.
// An answer counts only for a device that was offered. What was used stands in the plan's auth_method_args, and so in the
// event of the login and in the session.
package validate

// Package phone is the suite of the pocket authenticator, the phone as a page: a phone's browser opens it by the code that
// the set-up shows, and answers logins that a computer's browser asks for. Each spec has both browsers.
//
//	computer: insider ─▶ the set-up's code ─▶ phone: enrolled ─▶ computer: LogIn ─▶ phone: asked ─▶ answer ─▶ computer: inside
package phone

// Package authenticators is the suite of the second factors: each kind is set up and signs in, from the pages of the built
// program, with what the kind needs outside of it: an authenticator app's arithmetic, telephones that take messages, Duo, and
// Chromium's virtual authenticators. Flows are made over the API, as an administrator makes them.
package authenticators

// Package maker plays the makers of phones: it issues what Android's keystores and Apple's App Attest say of a key, from
// roots of its own, good or with one fault that a server has to notice.
//
// It owns the chains of certificates, the key description, the App Attest object and the list of revoked certificates. It
// stands apart: it imports the standard library alone, so that it and the server read the formats independently of each
// other, and the server's tests may use it.
//
//	Android root ─▶ batch ────────▶ chain: the key's certificate with its description, the batch's, the root's
//	             └▶ revoked batch ─▶ the same, and on the list
//	Apple root ─▶ CA ─────────────▶ attestation object
package maker

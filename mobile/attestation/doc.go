// Package attestation checks what the maker of a phone says of the phone's keys: Android Key Attestation and Apple App
// Attest (push.md G8).
//
// It owns the parsing of the evidence, its checks against roots that the operator gives, the list of revoked certificates,
// and the policy by which a finding is good enough. It does not own the roots themselves, where evidence and lists come
// from, nor what becomes of a finding: it asks neither the network nor the database. docs/attestation.md says what all this
// proves and what not.
//
//	evidence ─▶ Verifier.AndroidKey ─┬─▶ *Refusal: it proves nothing, Code and text say why
//	          Verifier.AppAttest     └─▶ Finding ─▶ Policy.Check ─▶ nil, or *Refusal: true, but not enough
//
// # What the evidence is bound to
//
// wire.AttestationChallenge makes 32 bytes of the device's UUID and the one-time token of its enrolment, so that evidence of another
// enrolment, or of none, is worth nothing here. Android states them as attestationChallenge beside the key that they were
// asked for, which must be one of those that the phone brings. Apple's service attests a key of its own, so that what it
// signs (wire.AttestationClientData) is the challenge followed by the thumbprints of the keys that the phone brings.
package attestation

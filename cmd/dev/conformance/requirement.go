package conformance

// Requirement is one rule that a push authenticator's server has to keep.
type Requirement struct {
	ID     string `json:"id"`
	Source string `json:"source"` // whose rule it is
	Text   string `json:"text"`
}

// Requirements are all of them, in their order. The sources are NIST SP 800-63B-4, OWASP ASVS 5.0, the regulatory technical
// standards of PSD2 (RTS), and attacks that were seen.
var Requirements = []Requirement{
	{"T1", "NIST SP 800-63B-4, out-of-band authenticators", "In a strict mode nothing is approved without a secret carried between login page and phone."},
	{"T2", "NIST SP 800-63B-4; ASVS 6.5.3, 6.5.4", "That secret has 20 bits or more, by a secure random source; a mode with fewer says so and may claim no more."},
	{"T3", "NIST SP 800-63B-4; ASVS 6.6.3", "A wrong answer uses an attempt up; a pick ends at the first, a typed number after a few."},
	{"T4", "NIST SP 800-63B-4; ASVS 6.5.5", "A request lives ten minutes at the most, however it is signed."},
	{"T5", "NIST SP 800-63B-4 (replay); ASVS 6.5.1", "An answer counts once, also when many come at once, on two nodes."},
	{"T6", "ASVS 6.6.2", "An answer is bound to its request, user, device and session; another login's is worth nothing."},
	{"T7", "NIST SP 800-63B-4; ASVS 6.6.4", "How often a phone rings is limited by user, source and client; success resets it."},
	{"T8", "ASVS 6.1.1", "The limits lock nobody out: a known place and other factors go on working under attack."},
	{"T9", "ASVS 6.3.5, 6.3.7", "The user is told of suspicious attempts, of a new device, of a new push address and of new keys."},
	{"T10", "ASVS 6.3.8", "Users without a phone, and users who do not exist, look and time alike."},
	{"T11", "ASVS 6.4.4, 6.5.6", "A lost phone is cut off at once on every node; adding one again takes as strong a proof as the first time."},
	{"T12", "ASVS 6.7.2, 6.8.4", "Nonces are unique; what a login says of its factors (amr, acr) is what happened."},
	{"T13", "NIST SP 800-63B-4 (locked screen)", "A push carries no number that counts, no user name and no secret."},
	{"T14", "NIST SP 800-63B-4 (device by key)", "Of a phone's keys only the public part is stored, and a private one is refused."},
	{"T15", "NIST SP 800-63B-4 (multi-factor out-of-band)", "Several factors are claimed only when the key signed that checks the phone's owner, each time."},
	{"T16", "PSD2 RTS Art. 5 (a–d)", "Amount and payee are within what is signed; what is shown comes from the same bytes."},
	{"T17", "attack: push address taken over", "A new push address takes a proof over method, URL, body and nonce; the user is told, and it does not count for high risk at once."},
	{"T18", "attack: enrolment hijack", "The browser confirms a fingerprint that both screens show before a phone is active."},
	{"T19", "attack: algorithm confusion", "The stored key fixes the algorithm; none, HMAC, other curves and odd lengths are refused."},
	{"T20", "attack: confused texts", "What is signed is typed, versioned, and has one form and an explicit verb."},
	{"T21", "attack: waiting page stolen", "The page that waits is bound to the browser that began; another that has its address gets nothing."},
	{"T22", "attack: retries after a denial", "A denial ends the login; a new request takes a person's act, and a pause."},
	{"T23", "attack: relay in the middle", "The phone shows where the login comes from; networks are compared; a push is never called phishing-resistant."},
	{"T24", "attack: push service or its key lost", "A forged push can wake the app and nothing more: the phone shows what its server signed."},
}

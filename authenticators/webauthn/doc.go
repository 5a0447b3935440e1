// Package webauthn is the passkey and the security key as authenticators (W3C Web Authentication Level 3, core.md §2.14
// and §3).
//
// It owns the tables webauthn_devices, webauthn_device_types and webauthn_metadata: the device and device type resources,
// the set-up stage, and the kind "webauthn" of the validation stage with its passwordless part. It does not own the
// protocol (github.com/go-webauthn/webauthn reads and checks what authenticators say), the choice among devices
// (authenticators/validate), nor the pages (core/web/stage, core/web/device).
//
// # A passkey
//
//	set-up stage ─▶ challenge in the plan ─▶ navigator.credentials.create ─▶ attestation checked ─▶ webauthn_devices
//	validation   ─▶ one challenge over all of a user's passkeys ─▶ navigator.credentials.get ─▶ signature checked
//	             ─▶ guarded UPDATE of the counter, in the transaction that lets the login go on
//
// A challenge is made once, lives for ten minutes, and is gone with any answer, right or wrong: the next look at the
// stage makes a new one. Two answers to one challenge meet at the plan's compare-and-set, two uses of one counter at the
// device's.
//
// The relying party is the host of the page, without its port; the origin is what the browser's address bar shows. A
// passkey is offered wherever its owner signs in, also at an address for which it was not made: there it cannot answer,
// but leaving it out could let somebody in without it.
//
// # Which make it is
//
// An authenticator says an AAGUID. With attestation it proves it, if the FIDO Alliance's metadata holds the certificates
// of the maker:
//
//	file or URL ─▶ Refresh ─▶ signature and chain to the root ─▶ webauthn_metadata, webauthn_device_types
//	registration ─▶ newest row of webauthn_metadata, parsed once a node ─▶ chain of the attestation ─▶ attested
//
// Without a file and a URL nothing is asked of the network; names.json names the usual makes. A restriction to some
// makes takes the AAGUID's word only for makes of which nothing better can be had: one whose certificates are known must
// have shown them (attested). That happens at the registration, or when the metadata comes later by Refresh, from what
// was kept. The all-zero AAGUID in a restriction stands for makes that are not in the table; unlike the contract's server
// a passkey of such a make is not let through where it is not in the list.
//
// # Without a name
//
// Where nobody is named yet, a flow that authenticates offers one challenge for anyone (device_uid "-1", no
// allowCredentials). The passkey brings its user handle, which is the user's uid (core.md §6.1): it tells whose it is,
// and differs between installations. The pages use it twice: as a page of its own, and as suggestions in the name field
// of the identification page, where the browser offers passkeys beside user names (conditional mediation).
package webauthn

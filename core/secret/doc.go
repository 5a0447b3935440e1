// Package secret keeps secrets: it seals what must be shown or used again, hashes what must only be recognised, and
// makes random tokens.
//
// It owns the Keeper, made from the server's configured keys, and nothing that is stored. What to seal and what to hash:
//
//	random bearer secret (session, device token)      ──▶ Hash   ──▶ …_hash column,   found by equality
//	short, only recognised (telephone number, code)   ──▶ MAC    ──▶ …_hash column,   found under each key (Sums)
//	shown or used again (API token key, TOTP seed)    ──▶ Seal   ──▶ …_sealed column, opened with the same aad
//	signing key of our own (session cookie …)         ──▶ Derive ──▶ never stored; DeriveOld still verifies
//
// A sealed value is
//
//	1 byte version │ 4 bytes key id │ 12 bytes nonce │ AES-256-GCM ciphertext and tag
//
// with version and key id authenticated beside the caller's aad. The aad names the row and column that the value
// belongs to, so that a value copied into another row does not open. Each configured key string gives an encryption
// key and a key id by HKDF-SHA-256 (RFC 5869) under different labels: to rotate, put the new key first and keep
// the old one after it until core/secret/rekey has sealed every value anew. For that a package says by Column where its
// sealed values lie, and makes their aad by it.
//
// Passwords of people do not belong here: they need a slow hash (core/user).
package secret

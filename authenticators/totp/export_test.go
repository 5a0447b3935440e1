package totp

// CodeAt is for the apps of the tests; TestVectors shows that it is right.
var CodeAt = codeAt

// GrantSQL is for the benchmark.
const GrantSQL = grantSQL

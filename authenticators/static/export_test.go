package static

// UpdateSQL is for the benchmark.
const UpdateSQL = updateSQL

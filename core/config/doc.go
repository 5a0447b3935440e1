// Package config loads settings into a struct: defaults, then a YAML file, then the environment, then flags.
//
// It owns the rules of loading and no setting: cmd/app has the struct. The struct is the documentation as well:
//
//	type Config struct {
//		Listen   string        `yaml:"listen" help:"Address to listen on."`
//		Secret   string        `yaml:"secret_key" secret:"true" help:"Key of all that is sealed."`
//		Database struct {
//			URL  string        `yaml:"url" secret:"url" help:"PostgreSQL to use."`
//			Wait time.Duration `yaml:"wait" help:"How long to wait for it."`
//		} `yaml:"database"`
//	}
//
//	struct with defaults ─▶ file ─▶ COUNTERSIGN_… ─▶ flags ─▶ struct, *Loaded ─▶ Print (effective, secrets hidden)
//	         └─▶ Reference (the commented file of all settings)
//
// A setting's path is its YAML keys joined by dots, "database.wait". Its environment variable is the prefix and the path in
// capitals, joined by single underscores: COUNTERSIGN_DATABASE_WAIT. Two settings whose variables would be the same are
// refused at the first load, so the simple form is never ambiguous. A secret may come from a file as well:
// COUNTERSIGN_SECRET_KEY_FILE=/run/secrets/key, or secret_key_file: in YAML; one line break at its end is dropped.
//
// Loading is strict. An unknown key, an unknown variable with the prefix, a key given twice or a value that does not parse
// is an error that names the place, and for an unknown name the nearest known one; all errors of a load come together.
//
// Kinds of value: string, bool, integers, floats, time.Duration ("90s", "12h", "7d"), whatever reads itself by
// encoding.TextUnmarshaler (netip.Prefix, slog.Level), lists of these (YAML list, or separated by commas), maps of
// strings (YAML map, or name=value separated by commas) and nested structs. Every YAML scalar is taken by its text:
// 0123 for a string stays 0123.
package config

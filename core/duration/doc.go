// Package duration reads the contract's duration strings: key=number pairs joined by semicolons, for example
// "days=1;hours=12" (core.md §2, "Duration strings").
//
// It owns the format only; what a setting's zero means is the setting's matter.
package duration

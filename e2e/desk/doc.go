// Package desk is the suite of the simulator's own pages: a run goes on against the stand-in, and a person watches it, pauses it and
// answers one of its phones at the desk; then they read its report.
package desk

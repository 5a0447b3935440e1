// Package cli is the command line of the simulator: it turns flags into the options of the
// simulator's packages, serves what they serve and prints what they report. It owns flags, words
// and exit codes, nothing else.
//
// Exit codes: 0 success; 1 a login ended wrongly; 2 a wrong call; 4 the run could not be made, for
// instance because the server is not there; 130 interrupted.
package cli

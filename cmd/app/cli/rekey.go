package cli

import (
	"fmt"
	"io"
	"strings"

	"countersign/cmd/app"
	"countersign/core/secret/rekey"
)

type rekeyCmd struct {
	server
	Check bool `help:"Change nothing: count, and fail while an older key is still needed."`
}

// Run seals with the current key what older keys sealed, beside running servers. It fails when something cannot be opened,
// and with --check also while anything needs an older key.
func (r *rekeyCmd) Run(e *env) error {
	c, _, err := r.load(e)
	if err != nil {
		return err
	}
	done, err := app.Rekey(e.ctx, c, c.Logger(e.err), r.Check)
	printRekeying(e.out, done, r.Check)
	switch report := done.Report; {
	case err != nil:
		return err
	case report.Failed() > 0, r.Check && report.Old() > 0:
		return errSilent
	}
	return nil
}

func printRekeying(out io.Writer, done app.Rekeying, check bool) {
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format, args...) }
	if len(done.Report) == 0 {
		return
	}
	say("The current key is %s.", done.Keys[0])
	if older := done.Keys[1:]; len(older) > 0 {
		say(" Older ones: %s.", strings.Join(older, ", "))
	}
	verb := "resealed"
	if check {
		verb = "to reseal"
	}
	say("\n\n%-38s %10s %10s %10s\n", "", verb, "current", "failed")
	for i := range done.Report {
		c := &done.Report[i]
		say("%-38s %10d %10d %10d\n", c.Column, c.Old, c.Current, c.Failed())
	}
	say("\n")
	for i := range done.Report {
		c := &done.Report[i]
		for _, f := range []struct {
			rows rekey.Rows
			why  string
		}{
			{c.Unknown, "sealed by a key that is not configured"},
			{c.Damaged, "damaged, or moved from another row"},
			{c.Taken, "another row has the same value"},
			{c.Bound, "only a keyed hash of an older key, which works while that key is configured"},
		} {
			if f.rows.Count > 0 {
				say("%s: %s: %s%s\n", c.Column, f.why, strings.Join(f.rows.IDs, ", "), more(f.rows))
			}
		}
	}
	report := done.Report
	switch {
	case report.Failed() > 0:
		say("%d values could not be sealed anew, as said above. A key that is missing goes into old_secret_keys.\n", report.Failed())
	case check && report.Old() > 0:
		say("%d values need an older key: run countersign rekey.\n", report.Old())
	case len(done.Keys) == 1:
		say("Nothing needs an older key.\n")
	case report.Bound() > 0:
		say("Nothing sealed needs an older key. %d keyed hashes end with it; docs/authenticators.md says what that means.\n", report.Bound())
	default:
		say("Nothing sealed needs an older key: old_secret_keys may be taken away.\n")
	}
}

func more(r rekey.Rows) string {
	if n := r.Count - len(r.IDs); n > 0 {
		return fmt.Sprintf(" and %d more", n)
	}
	return ""
}

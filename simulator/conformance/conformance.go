package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"countersign/simulator/attack"
	"countersign/simulator/verdict"
)

// Requirement is one rule that a push authenticator's server has to keep.
type Requirement struct {
	ID     string `json:"id"`
	Source string `json:"source"` // whose rule it is
	Text   string `json:"text"`
	// Hidden is why it cannot be seen from outside, or what of it cannot; "" for one that can.
	Hidden string `json:"hidden,omitempty"`
}

// Requirements are all of them. Which attacks prove one, the attacks say.
func Requirements() []Requirement {
	return []Requirement{
		{"T1", "NIST SP 800-63B-4, out-of-band authenticators", "In a strict mode nothing is approved without a secret carried between login page and phone.", ""},
		{"T2", "NIST SP 800-63B-4; ASVS 6.5.3, 6.5.4", "That secret has 20 bits or more, by a secure random source.",
			"how a number is drawn shows in a million of them, and each takes a login"},
		{"T3", "NIST SP 800-63B-4; ASVS 6.6.3", "A wrong answer uses an attempt up; a pick ends at the first, a typed number after a few.", ""},
		{"T4", "NIST SP 800-63B-4; ASVS 6.5.5", "A request lives ten minutes at the most, however it is signed.", ""},
		{"T5", "NIST SP 800-63B-4 (replay); ASVS 6.5.1", "An answer counts once, also when many come at once.", ""},
		{"T6", "ASVS 6.6.2", "An answer is bound to its request, user, device and session.", ""},
		{"T7", "NIST SP 800-63B-4; ASVS 6.6.4", "How often a phone rings is limited; success resets it.", ""},
		{"T8", "ASVS 6.1.1", "The limits lock nobody out: the owner gets in under attack.", ""},
		{"T9", "ASVS 6.3.5, 6.3.7", "The user is told of suspicious attempts, and of changes to their phones.",
			"it is told by mail, to mailboxes that are not ours"},
		{"T10", "ASVS 6.3.8", "Users without a phone, and users who do not exist, look alike; how long each takes is not compared.", ""},
		{"T11", "ASVS 6.4.4, 6.5.6", "A lost phone is cut off at once.", ""},
		{"T12", "ASVS 6.7.2, 6.8.4", "What a login says of its factors (amr, acr) is what happened.",
			"it stands in the tokens of an application, and none is ours"},
		{"T13", "NIST SP 800-63B-4 (locked screen)", "A push carries no number that counts, no user name and no secret.", ""},
		{"T14", "NIST SP 800-63B-4 (device by key)", "Of a phone's keys only the public part is taken.", ""},
		{"T15", "NIST SP 800-63B-4 (multi-factor out-of-band)", "Several factors count only when the key signed that checks the owner.", ""},
		{"T16", "PSD2 RTS Art. 5 (a–d)", "What is approved is within what is signed, and what is shown comes from the same bytes.", ""},
		{"T17", "attack: push address taken over", "A new push address takes a proof over method, URL, body and nonce.", ""},
		{"T18", "attack: enrolment hijack", "The browser confirms a fingerprint that both screens show before a phone is active.", ""},
		{"T19", "attack: algorithm confusion", "The stored key fixes the algorithm; none, HMAC and other curves are refused.", ""},
		{"T20", "attack: confused texts", "What is signed is typed, versioned, and has one form and an explicit verb.", ""},
		{"T21", "attack: waiting page stolen", "The page that waits is bound to the browser that began.", ""},
		{"T22", "attack: retries after a denial", "A denial ends the login; a new request takes a person's act, and a pause.", ""},
		{"T23", "attack: relay in the middle", "The phone shows where the login comes from.", ""},
		{"T24", "attack: push service or its key lost", "The phone shows what its server signed, and nothing else counts.", ""},
	}
}

// Result is what was seen of one requirement.
type Result struct {
	Requirement
	Outcome  verdict.Outcome `json:"outcome"`
	Attacks  []string        `json:"attacks,omitempty"` // that prove it
	Observed string          `json:"observed"`

	evidence []verdict.Probe
	took     time.Duration
	gaps     []string // attacks that were not applicable, and why
}

// Report is the requirements, and the attacks by which they were proved.
type Report struct {
	Results []Result       `json:"results"`
	Attacks *attack.Report `json:"attacks"`
}

// Run attacks the server and says what that proves. Errors are those of [attack.Run].
func Run(ctx context.Context, o attack.Options) (*Report, error) {
	o.Only = nil
	attacks, err := attack.Run(ctx, o)
	if err != nil {
		return nil, err
	}
	return judge(attacks), nil
}

// judge sees what attacks prove.
func judge(attacks *attack.Report) *Report {
	out := &Report{Attacks: attacks}
	for _, r := range Requirements() {
		one := Result{Requirement: r, Outcome: verdict.NotObservable, Observed: r.Hidden}
		for _, a := range attacks.Results {
			if slices.Contains(a.Proves, r.ID) {
				one.add(a)
			}
		}
		one.conclude()
		if len(one.Attacks) == 0 && r.Hidden == "" { // interrupted before
			one.Outcome, one.Observed = verdict.Failed, "it was not tried"
		}
		out.Results = append(out.Results, one)
	}
	return out
}

// severity orders outcomes: that of a requirement is the highest of its attacks'.
func severity(o verdict.Outcome) int {
	return slices.Index([]verdict.Outcome{verdict.NotObservable, verdict.NotApplicable, verdict.Held, verdict.Failed, verdict.Broken}, o)
}

func (r *Result) add(a attack.Result) {
	r.Attacks = append(r.Attacks, a.Name)
	r.evidence = append(r.evidence, a.Evidence...)
	r.took += a.Took
	said := a.Name + ": " + a.Observed
	if a.Outcome == verdict.NotApplicable {
		r.gaps = append(r.gaps, said)
	}
	if severity(a.Outcome) > severity(r.Outcome) {
		r.Outcome, r.Observed = a.Outcome, said
	}
}

// conclude has a requirement that held say what could not be tried for it, so that it claims no more than was seen.
func (r *Result) conclude() {
	if r.Outcome == verdict.Held && len(r.gaps) > 0 {
		r.Observed += "; but not tried: " + strings.Join(r.gaps, "; ")
	}
}

// Err is verdict.ErrBroken, verdict.ErrIncomplete or nil.
func (r *Report) Err() error {
	var all []verdict.Outcome
	for _, one := range r.Results {
		all = append(all, one.Outcome)
	}
	return verdict.Err(all)
}

// Interrupted tells whether the run ended early.
func (r *Report) Interrupted() bool { return r.Attacks.Interrupted }

// Text writes the report for a person; width as [attack.Report.Text] has it.
func (r *Report) Text(w io.Writer, width int) error {
	p := verdict.NewPage(width)
	p.Paragraph("", "", "Requirements on "+r.Attacks.Server)
	p.Paragraph("", "", r.Attacks.Target.String())
	p.Line("")
	count := map[verdict.Outcome]int{}
	for _, one := range r.Results {
		count[one.Outcome]++
		p.Paragraph("", "", fmt.Sprintf("%-14s  %-3s %s", strings.ToUpper(string(one.Outcome)), one.ID, one.Text))
		p.Paragraph("    ", "    ", "source: "+one.Source)
		p.Paragraph("    ", "    ", "observed: "+one.Observed)
		if len(one.Attacks) > 0 {
			p.Paragraph("    ", "    ", "by: "+strings.Join(one.Attacks, ", "))
		}
	}
	p.Line("")
	p.Paragraph("", "", fmt.Sprintf("%d held, %d broken, %d not applicable, %d not observable, %d failed.",
		count[verdict.Held], count[verdict.Broken], count[verdict.NotApplicable], count[verdict.NotObservable], count[verdict.Failed]))
	_, err := p.WriteTo(w)
	return err
}

// JSON writes the report as JSON.
func (r *Report) JSON(w io.Writer) error { return writeJSON(w, r) }

func writeJSON(w io.Writer, r any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(r)
}

// JUnit writes the report as JUnit XML, a case for each requirement.
func (r *Report) JUnit(w io.Writer) error {
	var cases []verdict.Case
	for _, one := range r.Results {
		cases = append(cases, verdict.Case{
			Class: "conformance", Name: one.ID + " " + one.Text, Outcome: one.Outcome, Observed: one.Observed, Evidence: one.evidence, Took: one.took,
		})
	}
	return verdict.JUnit(w, "conformance", r.Attacks.Began, r.Attacks.Took, cases)
}

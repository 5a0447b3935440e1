package mobile

import (
	"context"
	"fmt"
	"math"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"countersign/core/api"
	"countersign/core/db"
	"countersign/core/fault"
	"countersign/core/resource"
	"countersign/mobile/wire"
)

// Assurance is how much a login by phone is worth, as a word for policies.
type Assurance string

// The levels, the weakest first. Each holds what those before it hold.
const (
	AssureAny    Assurance = "any"          // somebody with the phone said yes
	AssureNumber Assurance = "number"       // and carried a number between the screens, so that they saw both
	AssureOOB    Assurance = "oob_20_bits"  // an out-of-band authenticator: six digits were carried, and a key of the phone signed
	AssureMulti  Assurance = "multi_factor" // a multi-factor one: that key was released by a fingerprint, a face or a code
)

var levels = []Assurance{AssureAny, AssureNumber, AssureOOB, AssureMulti}

// Enum lists the levels.
func (Assurance) Enum() []string {
	out := make([]string, 0, len(levels))
	for _, l := range levels {
		out = append(out, string(l))
	}
	return out
}

// SchemaName is the component's name.
func (Assurance) SchemaName() string { return "PhoneAssuranceEnum" }

// rank orders the levels; one that is not known is above all, so that nothing reaches it.
func (a Assurance) rank() int {
	for i, l := range levels {
		if l == a || a == "" && i == 0 {
			return i
		}
	}
	return len(levels)
}

// Rung is a mode on the ladder: what carrying the decision in this way is worth, and in whose words.
type Rung struct {
	Mode  string  `json:"mode" api:"required"` // wire.Mode
	Label string  `json:"label" api:"required"`
	Bits  float64 `json:"bits" api:"required" doc:"log2 of how many answers there are, rounded to 0.1. 0: nothing is carried."`
	// Guess is the chance of whoever answers by guessing, with one attempt.
	Guess     float64 `json:"guess" api:"required" doc:"Chance of a guess to be right, at each attempt."`
	OutOfBand bool    `json:"out_of_band" api:"required" doc:"Whether it may claim to be an out-of-band authenticator in the sense of NIST SP 800-63B-4, from signed answers on."`
	NIST      string  `json:"nist" api:"required" doc:"What NIST SP 800-63B-4 says of it."`
	ASVS      string  `json:"asvs" api:"required" doc:"What OWASP ASVS 5.0 says of it."`
}

// SchemaName is the component's name.
func (Rung) SchemaName() string { return "PhoneAssuranceRung" }

// The judgements, by kind of mode.
const (
	nistTap   = "Not an out-of-band authenticator: approving without carrying a secret is not taken (§3.1.3.2)."
	nistShort = "Not an out-of-band authenticator: the secret has fewer than six decimal digits (§3.1.3.2). It holds people up who would approve without looking."
	nistSix   = "Out-of-band authenticator (§3.1.3) when a key of the phone signs; multi-factor when the key that checks its owner does. Not resistant to phishing."
	asvsTap   = "6.5.4 not met, nothing is carried; 6.6.2 met, the answer is bound to its request; 6.6.3 does not apply, there is no code."
	asvsShort = "6.5.4 not met, less than 20 bits; 6.6.2 met, the answer is bound to its request; 6.6.3 met, wrong answers end the request. Helps with 6.6.4 against push bombing."
	asvsSix   = "6.5.4 met, six random digits; 6.6.2 met, the answer is bound to its request; 6.6.3 met, wrong answers end the request."
)

// rung describes a mode.
func rung(m wire.Mode) Rung {
	r := Rung{Mode: string(m), NIST: nistShort, ASVS: asvsShort, OutOfBand: m.Digits() == 6}
	answers := math.Pow10(m.Digits())
	switch {
	case m == wire.AcceptDeny:
		answers, r.NIST, r.ASVS, r.Label = 1, nistTap, asvsTap, "Tap: approve or deny. Fatigue control: none."
	case m.Picks():
		answers, r.Label = wire.Numbers, fmt.Sprintf("Pick one of %d numbers of %d digits. Fatigue control.", wire.Numbers, m.Digits())
	case m.Shows():
		r.Label = "The phone shows six digits, the person types them in the browser. Out-of-band secret."
	case r.OutOfBand:
		r.Label = "The browser shows six digits, the person types them on the phone. Out-of-band secret."
	default:
		r.Label = fmt.Sprintf("The browser shows %d digits, the person types them on the phone. Fatigue control.", m.Digits())
	}
	if r.OutOfBand {
		r.NIST, r.ASVS = nistSix, asvsSix
	}
	r.Bits, r.Guess = math.Round(math.Log2(answers)*10)/10, math.Round(1e6/answers)/1e6
	return r
}

// reached is the level of an answer in a mode that is authenticated by signed: signedBearer, or a wire.Use.
func reached(m wire.Mode, signed string) Assurance {
	switch {
	case !m.Valid() || m == wire.AcceptDeny:
		return AssureAny
	case !rung(m).OutOfBand || !AcceptSigned.suffices(signed):
		return AssureNumber
	case signed == string(wire.UseVerification):
		return AssureMulti
	}
	return AssureOOB
}

// least is the level that a stage's answers have at the least.
func (a Accepted) least() string {
	switch a {
	case AcceptVerified:
		return string(wire.UseVerification)
	case AcceptSigned:
		return string(wire.UsePossession)
	}
	return signedBearer
}

// claims are what a login may say of its phone, for the event, the session and tokens. This is the only place that makes them.
//
// amr has values of RFC 8176: "user", somebody was there; "mca", they carried something between two channels; "hwk", a key signed of
// which the phone's maker has proved that hardware holds it, and "swk" where that is not proved; "mfa", that key was released by a fingerprint, a face or a
// code, and by nothing less. acr is the level. An approval by phone can be relayed by a page in the middle, so that neither
// ever says "phr" or "phrh".
func claims(m wire.Mode, signed string, hardware bool) map[string]any {
	level := reached(m, signed)
	amr := []string{"user"}
	if level != AssureAny {
		amr = append(amr, "mca")
	}
	switch {
	case !AcceptSigned.suffices(signed):
	case hardware:
		amr = append(amr, "hwk")
	default:
		amr = append(amr, "swk")
	}
	if signed == string(wire.UseVerification) {
		amr = append(amr, "mfa")
	}
	return map[string]any{
		"mode": m, "bits": rung(m).Bits, "number_matched": level != AssureAny, "signed": signed,
		"assurance": level, "amr": amr, "acr": "urn:countersign:phone:" + string(level),
	}
}

// StageAssurance is what the logins by the phones of a stage are worth, for the administrator who chooses.
type StageAssurance struct {
	Rung
	Attempts     int       `json:"attempts" api:"required" doc:"Wrong answers that end a request."`
	Level        Assurance `json:"level" api:"required" doc:"What every login reaches."`
	UnablePhones int       `json:"unable_phones" api:"required" doc:"Phones of this stage whose app cannot be asked in this way: they can only be replaced, or their app updated."`
}

// SchemaName is the component's name.
func (StageAssurance) SchemaName() string { return "PhoneStageAssurance" }

// level is what every login by a phone of the stage reaches.
func (s Settings) level() Assurance { return reached(s.mode(), s.Accepted.least()) }

// checkAssurance refuses settings that demand more than they give. Error: Invalid about required_assurance.
func (s Settings) checkAssurance() error {
	if s.level().rank() >= s.Required.rank() {
		return nil
	}
	var text string
	switch s.Required {
	case AssureMulti:
		text = `This needs answer_mode "number_typed_6" or "code_shown_6", and accepted_answers "signed_user_verified".`
	case AssureOOB:
		text = `This needs answer_mode "number_typed_6" or "code_shown_6", and accepted_answers "signed" or "signed_user_verified".`
	default:
		text = `This needs another item_matching_mode than "accept_deny", or an answer_mode that carries a number.`
	}
	r := rung(s.mode())
	return fault.Field("required_assurance", "too_weak", fmt.Sprintf(
		`"%s" with answers that are "%s" gives %.1f bits and reaches "%s" only. %s`, r.Mode, s.Accepted.orBearer(), r.Bits, s.level(), text))
}

func (a Accepted) orBearer() Accepted {
	if a == "" {
		return AcceptBearer
	}
	return a
}

// assureRows tells of each stage what it is worth.
func assureRows(ctx context.Context, q db.Querier, _ *resource.View, rows []*Row) error {
	ids := make([]uuid.UUID, 0, len(rows))
	for _, r := range rows {
		ids = append(ids, r.PK)
	}
	found, err := q.Query(ctx, `SELECT stage, count(*) FROM mobile_devices WHERE stage = ANY($1) AND confirmed AND NOT can_fetch GROUP BY stage`, ids)
	if err != nil {
		return fmt.Errorf("count phones: %w", db.Fault(err))
	}
	stock := map[uuid.UUID]int{}
	var stage uuid.UUID
	var n int
	_, err = pgx.ForEachRow(found, []any{&stage, &n}, func() error {
		stock[stage] = n
		return nil
	})
	if err != nil {
		return fmt.Errorf("count phones: %w", db.Fault(err))
	}
	for _, r := range rows {
		r.Assurance = StageAssurance{Rung: rung(r.mode()), Attempts: r.attempts(), Level: r.level()}
		if !r.mode().Picks() {
			r.Assurance.UnablePhones = stock[r.PK]
		}
	}
	return nil
}

// LadderRung is a mode with the level that it reaches by what authenticates the answers.
type LadderRung struct {
	Rung
	Bearer             Assurance `json:"bearer" api:"required" doc:"Level with accepted_answers bearer."`
	Signed             Assurance `json:"signed" api:"required" doc:"Level with accepted_answers signed."`
	SignedUserVerified Assurance `json:"signed_user_verified" api:"required" doc:"Level with accepted_answers signed_user_verified."`
}

// SchemaName is the component's name.
func (LadderRung) SchemaName() string { return "PhoneAssuranceLadderRung" }

// ladder is all modes, the weakest first.
func ladder() []LadderRung {
	out := []LadderRung{}
	for _, m := range wire.Modes() {
		out = append(out, LadderRung{
			Rung: rung(m), Bearer: reached(m, AcceptBearer.least()), Signed: reached(m, AcceptSigned.least()),
			SignedUserVerified: reached(m, AcceptVerified.least()),
		})
	}
	return out
}

// mountAssurance adds the ladder.
func mountAssurance(a *api.API) {
	api.Handle(a, api.Operation{
		Method: "GET", Path: "/authenticators/mobile/assurance/", Tag: "authenticators",
		Description: "What each way of answering by phone is worth, the weakest first.",
	}, func(context.Context, *api.Request, api.None) ([]LadderRung, error) { return ladder(), nil })
}

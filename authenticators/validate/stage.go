package validate

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"countersign/authenticators"
	"countersign/authenticators/browser"
	"countersign/core/duration"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/core/resource"
	"countersign/core/secret"
	"countersign/core/user"
	"countersign/flows"
)

// Stage asks for a second factor.
type Stage struct {
	id        uuid.UUID
	store     *authenticators.Store
	users     *user.Store
	key       []byte                 // signs the cookie
	keys      jwt.VerificationKeySet // that it is taken with: key, and those of older keys of the server
	browsers  *browser.Marks
	settings  Settings
	threshold time.Duration
}

// state is what the plan keeps: what was offered, and the stages to choose from where there was nothing to offer.
type state struct {
	Offers   []*authenticators.Offer `json:"offers,omitempty"`
	Selected string                  `json:"selected,omitempty"`
	Choose   []uuid.UUID             `json:"choose,omitempty"`
	StepUp   bool                    `json:"step_up,omitempty"` // only what no phishing gets at will do
}

// Kind makes the kind over the authenticator kinds of the store.
func Kind(store *authenticators.Store, users *user.Store, keeper *secret.Keeper) *flows.Kind {
	const label = "authentication cookie of the validation stage"
	key := keeper.Derive(label)
	keys := jwt.VerificationKeySet{Keys: []jwt.VerificationKey{key}}
	for _, old := range keeper.DeriveOld(label) {
		keys.Keys = append(keys.Keys, old)
	}
	browsers := browser.New(keeper)
	kind := flows.NewKind(
		resource.KindInfo{
			Name: "authenticatorvalidatestage", App: "authentik_stages_authenticator_validate",
			Label: "Authenticator Validation Stage", Plural: "Authenticator Validation Stages",
			Component: "ak-stage-authenticator-validate-form", Description: "Validate user's configured Multi Factor Authentication.",
		},
		func(r *Row) *flows.StageRow { return &r.StageRow },
		definition(),
		func(id uuid.UUID, _ string, s Settings) (flows.Stage, error) {
			threshold, err := duration.Parse(s.LastAuthThreshold)
			if err != nil {
				return nil, err
			}
			return &Stage{id: id, store: store, users: users, key: key, keys: keys, browsers: browsers, settings: s, threshold: threshold}, nil
		},
		flows.Exchange{Component: Component, Challenge: Challenge{}, Response: Response{}},
	)
	kind.Ahead = func(a flows.Answer, o *event.Origin) flows.Ahead { return ahead(store, a, o) }
	return kind
}

// ahead is what the first factor of an answer that foresees anything does.
func ahead(store *authenticators.Store, answer flows.Answer, o *event.Origin) flows.Ahead {
	for _, field := range factors {
		value, ok := answer[field]
		if !ok {
			continue
		}
		for _, kind := range store.Kinds() {
			if m, ok := kind.Method.(authenticators.Foreseeing); ok && kind.Field == field {
				return m.Ahead(value, o)
			}
		}
	}
	return nil
}

// Begin collects the user's devices once and shows them.
func (s *Stage) Begin(ctx context.Context, run *flows.Run) (flows.Outcome, error) {
	st, seen, err := s.recall(run)
	if err != nil {
		return flows.Outcome{}, err
	}
	if !seen {
		outcome, done, err := s.collect(ctx, run, st)
		if err != nil || done {
			return outcome, err
		}
	}
	if st.StepUp && len(st.Offers) == 0 {
		return flows.Deny(noStepUp), nil
	}
	return s.show(ctx, run, st, !seen)
}

// recall reads what was offered in this plan, without what may not be offered any more. seen is false when nothing was,
// or nothing of it is left.
func (s *Stage) recall(run *flows.Run) (st *state, seen bool, err error) {
	st = &state{}
	if _, err := run.State(st); err != nil {
		return nil, false, err
	}
	st.Offers = slices.DeleteFunc(st.Offers, func(o *authenticators.Offer) bool {
		return s.store.Kind(o.Class) == nil || !slices.Contains(s.settings.DeviceClasses, DeviceClass(o.Class)) || st.StepUp && o.Class != resistant
	})
	if len(st.Offers)+len(st.Choose) == 0 && !st.StepUp {
		return &state{}, false, nil
	}
	return st, true, nil
}

// keep saves st with the plan.
func keep(run *flows.Run, st *state) error {
	for _, o := range st.Offers {
		o.Saved()
	}
	return run.SetState(st)
}

// method is a kind's part under the rules of this stage.
func (s *Stage) method(class string) authenticators.Method {
	m := s.store.Kind(class).Method
	if ruled, ok := m.(authenticators.Ruled); ok {
		return ruled.Under(authenticators.Rules{UserVerification: s.settings.UserVerification, DeviceTypes: s.settings.AllowedDeviceTypes})
	}
	return m
}

func (s *Stage) show(ctx context.Context, run *flows.Run, st *state, fresh bool) (flows.Outcome, error) {
	c := &Challenge{DeviceChallenges: []DeviceChallenge{}, ConfigurationStages: []SelectableStage{}}
	c.Component = Component
	for _, o := range st.Offers {
		shown, err := s.method(o.Class).Show(ctx, run, o)
		if err != nil {
			return flows.Outcome{}, err
		}
		fresh = fresh || o.Unsaved()
		c.DeviceChallenges = append(c.DeviceChallenges, DeviceChallenge{DeviceClass: o.Class, DeviceUID: o.UID, Challenge: shown})
	}
	for _, id := range st.Choose {
		if e := run.Stages().Stage(id); e != nil {
			c.ConfigurationStages = append(c.ConfigurationStages, SelectableStage{
				PK: id, Name: e.Title(), VerboseName: strings.TrimSpace(strings.ReplaceAll(e.Kind.Label, "Setup Stage", "")),
				MetaModelName: e.Kind.App + "." + e.Kind.Name,
			})
		}
	}
	if fresh {
		if err := keep(run, st); err != nil {
			return flows.Outcome{}, err
		}
	}
	return flows.Show(c), nil
}

// Answer takes a choice, a factor, or both.
func (s *Stage) Answer(ctx context.Context, run *flows.Run, answer flows.Answer) (flows.Outcome, error) {
	var r Response
	if !run.Resumed { // else it was read before it waited, and what it chose is chosen
		if fields, err := run.Decode(answer, &r); err != nil || fields != nil {
			return flows.Stay(fields), err
		}
	}
	st, seen, err := s.recall(run)
	if err != nil {
		return flows.Outcome{}, err
	}
	if !seen { // a POST without a prior GET
		outcome, done, err := s.collect(ctx, run, st)
		if err != nil || done {
			return outcome, err
		}
		if err := keep(run, st); err != nil {
			return flows.Outcome{}, err
		}
	}
	chosen := r.SelectedChallenge != nil
	if chosen {
		fields, soft, err := s.choose(ctx, run, st, *r.SelectedChallenge, answer)
		if err != nil {
			return flows.Outcome{}, err
		}
		if fields != nil && soft {
			return flows.Soft(fields), nil
		}
		if fields != nil {
			return flows.Stay(fields), nil
		}
	}
	if r.SelectedStage != "" {
		id, err := uuid.Parse(r.SelectedStage)
		if err != nil || !slices.Contains(st.Choose, id) || run.Stages().Stage(id) == nil {
			return flows.StayField("selected_stage", "invalid", "Selected stage is invalid"), nil //nolint:nilerr // the person is told
		}
		return flows.NextThen(id), nil
	}
	sent := factorsOf(answer)
	if chosen {
		outdated, err := s.outdated(st, *r.SelectedChallenge)
		if err != nil {
			return flows.Outcome{}, err
		}
		if outdated { // the person first has to see what is asked
			sent = nil
		}
	}
	if o, m, err := s.coded(st, sent); err != nil || o != nil {
		if err != nil {
			return flows.Outcome{}, err
		}
		outcome, err := m.AnswerCode(ctx, run, o, sent["code"])
		return s.concluded(ctx, run, st, o, outcome, err)
	}
	for _, field := range factors {
		if value, ok := sent[field]; ok {
			return s.verify(ctx, run, st, field, value)
		}
	}
	empty := fault.Fields{fault.NonField: {{Code: "invalid", Text: "Empty response"}}}
	if chosen {
		return flows.Soft(empty), nil
	}
	return flows.Stay(empty), nil
}

// choose lets the kind act on the person's choice and keeps it. A proof that comes along is of what was asked before, so
// that nothing is asked anew: a page says with each code whose it is, and a message is not sent again for that.
func (s *Stage) choose(ctx context.Context, run *flows.Run, st *state, c DeviceChallenge, answer flows.Answer) (fields fault.Fields, soft bool, err error) {
	o := find(st.Offers, c.DeviceClass, c.DeviceUID)
	if o == nil {
		return fault.Fields{"selected_challenge": {{Code: "invalid", Text: "invalid challenge selected"}}}, false, nil
	}
	st.Selected, o.Shown = key(o), c.Challenge
	kind := s.store.Kind(o.Class)
	if _, proof := factorsOf(answer)[kind.Field]; !proof || kind.NamesDevice {
		if fields, err = s.method(o.Class).Select(ctx, run, o); err != nil {
			return nil, false, err
		}
	}
	return fields, true, keep(run, st)
}

// outdated tells whether the browser chose by a challenge that is no longer the one that is asked.
func (s *Stage) outdated(st *state, c DeviceChallenge) (bool, error) {
	m, ok := s.method(c.DeviceClass).(authenticators.Comparing)
	if !ok {
		return false, nil
	}
	return m.Outdated(find(st.Offers, c.DeviceClass, c.DeviceUID), c.Challenge)
}

func (s *Stage) verify(ctx context.Context, run *flows.Run, st *state, field string, value json.RawMessage) (flows.Outcome, error) {
	candidates := s.candidates(st, field, value)
	if len(candidates) == 0 {
		text := "No compatible device class allowed"
		if slices.ContainsFunc(st.Offers, func(o *authenticators.Offer) bool { return s.store.Kind(o.Class).Field == field }) {
			text = "Invalid device"
		}
		return flows.StayField(field, "invalid", text), nil
	}
	var outcome flows.Outcome
	for _, o := range candidates {
		answered, err := s.method(o.Class).Answer(ctx, run, o, value)
		if outcome, err = s.concluded(ctx, run, st, o, answered, err); err != nil {
			return flows.Outcome{}, err
		}
		if !outcome.Stays() { // passed, denied, or waiting for this one
			return outcome, nil
		}
	}
	return outcome, nil
}

// concluded keeps what a method left in its offer, and notes what proved the login where it did.
func (s *Stage) concluded(ctx context.Context, run *flows.Run, st *state, o *authenticators.Offer, outcome flows.Outcome, err error) (flows.Outcome, error) {
	if err != nil {
		return flows.Outcome{}, err
	}
	if o.Unsaved() {
		if err := keep(run, st); err != nil {
			return flows.Outcome{}, err
		}
	}
	if outcome.Passed() && s.elsewhere(o) {
		if outcome, err = s.mismatch(ctx, run, st, o, outcome); err != nil {
			return flows.Outcome{}, err
		}
	}
	if outcome.Passed() {
		return outcome, s.granted(ctx, run, o)
	}
	return outcome, nil
}

// coded is the offer that a typed code answers by what its device shows: the one that is named beside the code, or else the
// chosen one. nil: the code is one of the kinds whose own field it is.
func (s *Stage) coded(st *state, sent flows.Answer) (*authenticators.Offer, authenticators.Coded, error) {
	if _, typed := sent["code"]; !typed {
		return nil, nil, nil
	}
	for _, o := range st.Offers {
		m, ok := s.method(o.Class).(authenticators.Coded)
		if !ok {
			continue
		}
		named := key(o) == st.Selected
		if value, ok := sent[s.store.Kind(o.Class).Field]; ok {
			var uid string
			named = json.Unmarshal(value, &uid) == nil && uid == o.UID
		}
		if !named {
			continue
		}
		takes, err := m.TakesCode(o)
		if err != nil || takes {
			return o, m, err
		}
	}
	return nil, nil, nil
}

// candidates are the offers that a factor may prove: the one that the value names, else the chosen one, else all of
// that field.
func (s *Stage) candidates(st *state, field string, value json.RawMessage) []*authenticators.Offer {
	var named string
	if json.Unmarshal(value, &named) != nil {
		named = string(value) // a number
	}
	var all []*authenticators.Offer
	for _, o := range st.Offers {
		kind := s.store.Kind(o.Class)
		if kind == nil || kind.Field != field {
			continue
		}
		if kind.NamesDevice && o.UID != named {
			continue
		}
		if key(o) == st.Selected {
			return []*authenticators.Offer{o}
		}
		all = append(all, o)
	}
	return all
}

// granted notes what proved the login.
func (s *Stage) granted(ctx context.Context, run *flows.Run, o *authenticators.Offer) error {
	c := run.Context
	if c.AuthMethod == "" {
		c.AuthMethod = "auth_mfa"
	}
	if c.AuthMethodArgs == nil {
		c.AuthMethodArgs = map[string]any{}
	}
	kind := s.store.Kind(o.Class)
	app, model, _ := strings.Cut(kind.Model, ".")
	used := map[string]any{}
	if o.Proof != nil {
		maps.Copy(used, o.Proof.Facts)
	}
	maps.Copy(used, map[string]any{"pk": o.UID, "app": app, "name": o.Name, "model_name": model})
	if p := o.Proof; p != nil {
		used["pk"], used["name"], used["user_verified"] = p.UID, p.Name, p.UserVerified
		if p.SameNetwork != nil {
			used["same_network"] = *p.SameNetwork
		}
	}
	devices, _ := c.AuthMethodArgs["mfa_devices"].([]any)
	c.AuthMethodArgs["mfa_devices"] = append(devices, used)
	c.Factors = append(c.Factors, o.Class)
	run.Changed()
	if id, _ := run.PendingID(); id != 0 {
		s.browsers.Remember(run, id)
	}
	return s.remember(ctx, run, o)
}

func find(offers []*authenticators.Offer, class, uid string) *authenticators.Offer {
	for _, o := range offers {
		if o.Class == class && o.UID == uid {
			return o
		}
	}
	return nil
}

func key(o *authenticators.Offer) string { return o.Class + "/" + o.UID }

package validate

import (
	"context"
	"slices"

	"countersign/authenticators"
	"countersign/core/event"
	"countersign/flows"
)

// collect fills st. done says that the outcome ends the stage without asking.
func (s *Stage) collect(ctx context.Context, run *flows.Run, st *state) (o flows.Outcome, done bool, err error) {
	userID, known := run.PendingID()
	if !known {
		return s.offerAnyone(ctx, run, st)
	}
	devices, err := s.devices(ctx, run, userID)
	if err != nil {
		return o, true, err
	}
	if used := s.recentlyValidated(run, userID, devices); used != nil {
		authenticators.Remembered(run, *used)
		return flows.Next(), true, nil
	}
	for _, kind := range s.store.Kinds() {
		var own []authenticators.Device
		for _, d := range devices {
			if d.Class == kind.Class {
				own = append(own, d)
			}
		}
		if len(own) == 0 {
			continue
		}
		offers, err := s.method(kind.Class).Offer(ctx, run, own)
		if err != nil {
			return o, true, err
		}
		st.Offers = append(st.Offers, offers...)
	}
	if len(st.Offers) > 0 {
		return o, false, nil
	}
	return s.nothingToOffer(ctx, run, st)
}

// offerAnyone fills st where nobody is named yet: with what needs no name, in a flow that authenticates (core.md §3.2).
func (s *Stage) offerAnyone(ctx context.Context, run *flows.Run, st *state) (o flows.Outcome, done bool, err error) {
	if run.Flow.Designation != flows.Authentication {
		return flows.Next(), true, nil
	}
	for _, kind := range s.store.Kinds() {
		if !slices.Contains(s.settings.DeviceClasses, DeviceClass(kind.Class)) {
			continue
		}
		m, ok := s.method(kind.Class).(authenticators.Passwordless)
		if !ok {
			continue
		}
		offer, err := m.OfferAnyone(ctx, run)
		if err != nil {
			return o, true, err
		}
		if offer != nil {
			st.Offers = append(st.Offers, offer)
		}
	}
	if len(st.Offers) == 0 {
		return flows.Next(), true, nil
	}
	return o, false, nil
}

func (s *Stage) devices(ctx context.Context, run *flows.Run, userID int) ([]authenticators.Device, error) {
	if userID == 0 {
		return nil, nil
	}
	all, err := s.store.Devices(ctx, run.DB(), userID, true)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(d authenticators.Device) bool {
		return !slices.Contains(s.settings.DeviceClasses, DeviceClass(d.Class))
	}), nil
}

func (s *Stage) nothingToOffer(ctx context.Context, run *flows.Run, st *state) (o flows.Outcome, done bool, err error) {
	switch s.settings.NotConfigured {
	case Deny:
		return flows.Deny("No (allowed) MFA authenticator configured."), true, nil
	case Configure:
		for _, id := range s.settings.ConfigurationStages {
			if run.Stages().Stage(id) != nil {
				st.Choose = append(st.Choose, id)
			}
		}
		switch len(st.Choose) {
		case 0:
			err := run.Emit(ctx, event.Event{
				Action: event.ConfigurationError, App: "authentik.stages.authenticator_validate",
				Context: map[string]any{"message": "The validation stage is to configure a device, but has no configuration stage.", "stage": s.id},
			})
			return flows.Deny(""), true, err
		case 1:
			return flows.NextThen(st.Choose[0]), true, nil
		}
		return o, false, nil
	default:
		return flows.Next(), true, nil
	}
}

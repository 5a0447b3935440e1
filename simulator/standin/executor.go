package standin

import (
	"crypto/rand"
	"encoding/json"
	"net/http"

	"countersign/mobile/wire"
)

type answer struct {
	UID      string `json:"uid_field"`
	Password string `json:"password"`
	Selected *struct {
		UID string `json:"device_uid"`
	} `json:"selected_challenge"`
	Mobile string `json:"mobile"`

	Fingerprint string `json:"fingerprint"`
	Matches     *bool  `json:"matches"`
}

// executor plays the flows default-authentication-flow and default-authenticator-mobile-setup.
func (s *Server) executor(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ses := s.session(r)
	if ses == nil {
		ses = &session{}
		value := rand.Text()
		s.sessions.put(value, ses, s.o.Clock.Now())
		http.SetCookie(w, &http.Cookie{Name: "authentik_session", Value: value, Path: "/", HttpOnly: true})
	}
	if r.Method == http.MethodPost && ses.loggedIn && r.Header.Get("X-authentik-CSRF") != "csrf-value" {
		reply(w, 403, map[string]string{"detail": "CSRF Failed"})
		return
	}
	var in answer
	if r.Method == http.MethodPost {
		_ = json.NewDecoder(r.Body).Decode(&in)
	}
	if demands, found := s.setups[r.PathValue("slug")]; found {
		s.setup(w, r, ses, in, demands)
		return
	}
	if r.PathValue("slug") == "default-authenticator-mobile-setup" {
		s.setup(w, r, ses, in, s.o.Demands)
		return
	}
	s.login(w, r, ses, in)
}

func again(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, r.URL.RequestURI(), http.StatusFound) //nolint:gosec // G710: to itself
}

func show(w http.ResponseWriter, component string, more map[string]any) {
	body := map[string]any{"type": "native", "component": component}
	for k, v := range more {
		body[k] = v
	}
	reply(w, 200, body)
}

func fault(field, text, code string) map[string]any {
	return map[string]any{field: []map[string]string{{"string": text, "code": code}}}
}

func (s *Server) setup(w http.ResponseWriter, r *http.Request, ses *session, in answer, demands string) {
	if d := ses.device; d != nil && d.fingerprint != "" && in.Fingerprint == d.fingerprint {
		d.confirm()
	}
	if in.Matches != nil && !*in.Matches && ses.device != nil && !ses.device.confirmed {
		delete(s.devices, ses.device.uuid)
		ses.device = nil
	}
	switch {
	case !ses.loggedIn:
		show(w, "ak-stage-access-denied", map[string]any{"error_message": "Flow does not apply to current user."})
	case ses.device != nil && ses.device.confirmed && r.Method == http.MethodPost:
		ses.device = nil
		show(w, "xak-flow-redirect", map[string]any{"to": "/"})
	default:
		if ses.device == nil {
			ses.device = s.newDevice(ses.user)
			ses.device.demands = demands
		}
		show(w, "ak-stage-authenticator-mobile", map[string]any{"payload": json.RawMessage(s.payload(ses.device))})
	}
}

func (s *Server) login(w http.ResponseWriter, r *http.Request, ses *session, in answer) {
	post := r.Method == http.MethodPost
	switch {
	case ses.loggedIn:
		show(w, "xak-flow-redirect", map[string]any{"to": "/"})
	case s.flawed(AnyBrowser) && in.Mobile != "" && s.devices[in.Mobile] != nil && s.devices[in.Mobile].approved():
		ses.loggedIn = true
		again(w, r)
	case ses.user == nil:
		u := s.userByName(in.UID)
		switch {
		case !post:
			show(w, "ak-stage-identification", map[string]any{"password_fields": true})
		case u == nil && s.flawed(TellsNames):
			show(w, "ak-stage-identification", map[string]any{"response_errors": fault("non_field_errors", "There is no such user.", "invalid")})
		case u == nil || u.password != in.Password:
			show(w, "ak-stage-identification", map[string]any{"response_errors": fault("non_field_errors", "Failed to authenticate.", "invalid")})
		default:
			ses.user = u
			again(w, r)
		}
	case len(ses.user.devices) == 0 || s.o.Careless:
		ses.loggedIn = true
		again(w, r)
	default:
		s.validate(w, r, ses, in)
	}
}

func (s *Server) validate(w http.ResponseWriter, r *http.Request, ses *session, in answer) {
	const component = "ak-stage-authenticator-validate"
	devices := func() []map[string]any {
		var out []map[string]any
		for _, d := range ses.user.devices {
			c := map[string]any{"item_mode": s.o.Mode, "device_name": "phone"}
			if ses.prompt != nil && d == ses.asked {
				c["item"] = ses.prompt.right
			}
			out = append(out, map[string]any{"device_class": "mobile", "device_uid": d.uuid, "challenge": c})
		}
		return out
	}
	with := func(errors map[string]any) map[string]any {
		return map[string]any{"device_challenges": devices(), "response_errors": errors}
	}
	switch {
	case in.Selected != nil:
		if s.paused(r, ses.user) {
			show(w, component, with(fault("mobile", "Requests to your phone are paused.", "throttled")))
			return
		}
		ses.asked = s.devices[in.Selected.UID]
		ses.prompt = s.askFor(r, ses.asked)
		show(w, component, with(fault("non_field_errors", "Empty response", "invalid")))
	case in.Mobile != "" && ses.prompt != nil:
		p := ses.prompt
		failed := p.failed
		if p.told {
			failed = nil
		}
		s.mu.Unlock()
		over, stop := s.o.Clock.After(p.Expires.Sub(s.o.Clock.Now()))
		unsent := false
		select {
		case <-p.done:
		case <-failed:
			unsent = true
		case <-over:
		case <-r.Context().Done():
		}
		stop()
		s.mu.Lock()
		if unsent {
			p.told = true
			show(w, component, with(fault("mobile", "Failed to send push notification", "internal")))
			return
		}
		switch p.answer {
		case p.right:
			s.letIn(w, r, ses)
		case "":
			if p.ended != "" {
				show(w, component, with(fault("mobile", "The phone is asked something else.", p.ended)))
				return
			}
			show(w, component, with(fault("mobile", "Mobile push notification timed out.", "invalid")))
		case wire.ItemDeny:
			if s.flawed(RingsAgain) && p.asked > 0 {
				s.ask(p.device)
			}
			p.asked++
			show(w, "ak-stage-access-denied", map[string]any{"error_message": "Mobile denied access"})
		default:
			if s.flawed(WrongLetsIn) {
				s.letIn(w, r, ses)
				return
			}
			show(w, component, with(fault("mobile", "Mobile denied access", "denied")))
		}
	default:
		show(w, component, map[string]any{"device_challenges": devices()})
	}
}

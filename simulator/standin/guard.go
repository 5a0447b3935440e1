package standin

import (
	"crypto/rand"
	"encoding/json"
	"net"
	"net/http"
	"strings"

	"countersign/mobile/wire"
)

// verified is the Demands that only the owner's key meets.
const verified = "signed_user_verified"

// callIn has a phone with keys wait until its owner has compared the fingerprint. The caller holds the lock.
func (s *Server) callIn(d *device, out *wire.EnrollmentCallback) {
	d.salt = rand.Text()
	out.Status, out.Salt = wire.Waiting, d.salt
	var err error
	d.fingerprint, err = wire.Binding{
		Device: d.uuid, TokenHash: wire.HashToken(d.once), Possession: d.keys[wire.UsePossession].Thumbprint, Verification: d.keys[wire.UseVerification].Thumbprint,
		Server: s.signer.Thumbprint, Salt: d.salt,
	}.Fingerprint()
	if err != nil {
		panic(err) // texts
	}
}

// confirm makes a phone its owner's.
func (d *device) confirm() {
	if !d.confirmed {
		d.owner.devices = append(d.owner.devices, d)
	}
	d.confirmed, d.fingerprint = true, ""
}

// status tells the page, and the phone, how far an enrolment is.
func (s *Server) status(w http.ResponseWriter, r *http.Request, d *device) {
	out := wire.EnrollmentStatus{Status: wire.Waiting}
	if d.confirmed {
		out.Status = wire.Success
	}
	if ses := s.session(r); ses != nil && ses.device == d {
		out.Fingerprint = d.fingerprint
	}
	reply(w, 200, out)
}

// rotate changes a phone's keys; unlike the real server's, they are good at once.
func (s *Server) rotate(w http.ResponseWriter, d *device, body []byte, url string) {
	var in wire.Rotation
	refuse := func(err error) { reply(w, 400, map[string][]string{"keys": {err.Error()}}) }
	if d.keys == nil || json.Unmarshal(body, &in) != nil {
		reply(w, 400, map[string]string{"detail": "bad"})
		return
	}
	keys, err := s.readKeys(in.Keys, d.token, url)
	if err != nil {
		refuse(err)
		return
	}
	old := d.keys[wire.UsePossession]
	_, err = keys[wire.UsePossession].CheckProof(in.PossessionProof, wire.Request{Method: http.MethodPost, URL: url, Body: []byte(old.Thumbprint), Token: d.token})
	if err != nil {
		refuse(err)
		return
	}
	second, changes := keys[wire.UseVerification]
	if !changes {
		keys[wire.UseVerification] = d.keys[wire.UseVerification]
	}
	if changes && !s.flawed(AnyOwner) {
		err := d.keys[wire.UseVerification].CheckEndorsement(in.Endorsement, wire.Endorsement{
			Act: wire.ActRotate, Server: s.URL, Device: d.uuid, For: d.uuid, Possession: keys[wire.UsePossession].Thumbprint, Verification: second.Thumbprint,
		}, wire.UseVerification)
		if err != nil {
			refuse(err)
			return
		}
	}
	d.keys = keys
	w.WriteHeader(http.StatusNoContent)
}

// end ends a prompt; why is "" when it was answered.
func (p *prompt) end(why string) {
	if !p.over {
		p.over, p.ended = true, why
		close(p.done)
	}
}

// answerable tells whether a device may answer a prompt. The caller holds the lock.
func (s *Server) answerable(d *device, p *prompt) bool {
	if p == nil || p.device != d && !s.flawed(AnyPhone) {
		return false
	}
	late := !s.o.Clock.Now().Before(p.Expires)
	return (p.answer == "" || s.flawed(AnswerTwice)) && (p.ended == "" || s.flawed(Replaced)) && (!late || s.flawed(Late))
}

// answered counts an answer for the user's budget.
func (u *user) answered(p *prompt) {
	u.denied = p.answer == wire.ItemDeny
	if p.answer == p.right {
		u.vain = 0
	}
}

func (d *device) approved() bool { return d.pending != nil && d.pending.answer == d.pending.right }

// askFor asks a phone for a login, and shows it the browser.
func (s *Server) askFor(r *http.Request, d *device) *prompt {
	if !s.o.Guarded {
		return s.ask(d)
	}
	d.owner.vain++
	p := s.ask(d)
	if s.flawed(Blind) {
		return p
	}
	word := func(among ...string) string {
		for _, one := range among {
			if strings.Contains(r.UserAgent(), one) {
				return one
			}
		}
		return ""
	}
	p.Context.Host, p.Context.Browser, p.Context.OS = r.Host, word("Chrome", "Firefox"), word("Windows", "Linux")
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		p.Context.IP = host
	}
	return p
}

// letIn ends a login well.
func (s *Server) letIn(w http.ResponseWriter, r *http.Request, ses *session) {
	ses.loggedIn = true
	if s.o.Guarded {
		http.SetCookie(w, &http.Cookie{Name: known, Value: ses.user.mark, Path: "/"})
	}
	again(w, r)
}

// me tells a session who it is.
func (s *Server) me(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ses := s.session(r); ses == nil || !ses.loggedIn {
		reply(w, 403, map[string]string{"detail": "Authentication credentials were not provided."})
		return
	}
	reply(w, 200, map[string]string{})
}

// removeDevice is the administrator's.
func (s *Server) removeDevice(w http.ResponseWriter, r *http.Request) {
	d := s.devices[r.PathValue("uuid")]
	if d == nil {
		reply(w, 404, map[string]string{"detail": notFound})
		return
	}
	if !s.flawed(Undead) {
		delete(s.devices, d.uuid)
		if s.open(d.pending) {
			d.pending.end("denied")
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

package standin

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/gorilla/websocket"

	"countersign/mobile/wire"
)

const (
	tries    = 3  // of a number that is typed
	maxHeld  = 50 // seconds of a long poll
	maxBody  = 64 << 10
	notFound = "Not found."
)

func newSigner() *wire.Signer {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	signer, err := wire.NewSigner(private)
	if err != nil {
		panic(err) // a key on P-256
	}
	return signer
}

// stir wakes whoever is held for the device. The caller holds the lock.
func (d *device) stir() {
	close(d.changed)
	d.changed = make(chan struct{})
}

// deviceAPI is what phones call.
func (s *Server) deviceAPI(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.devices[r.PathValue("uuid")]
	action := r.PathValue("action")
	if !s.admits(w, r, d, action, body) {
		return
	}
	switch action {
	case wire.ActionEnrol:
		s.enrol(w, r, d, body)
	case wire.ActionStatus:
		s.status(w, r, d)
	case wire.ActionRotate:
		s.rotate(w, d, body, s.absolute(r))
	case wire.ActionPushKey:
		var in wire.PushKey
		if json.Unmarshal(body, &in) != nil || len(in.Validate()) > 0 {
			reply(w, 400, map[string]string{"detail": "bad"})
			return
		}
		d.address = in.FirebaseKey
		w.WriteHeader(204)
	case wire.ActionCheckIn:
		if json.Unmarshal(body, &d.info) != nil || len(d.info.Validate()) > 0 {
			reply(w, 400, map[string]string{"detail": "bad"})
			return
		}
		w.WriteHeader(204)
	case wire.ActionPending:
		s.pending(w, r, d)
	case wire.ActionSocket:
		s.socket(w, r, d)
	case wire.ActionDisplayed:
		var in wire.Displayed
		if json.Unmarshal(body, &in) != nil || !s.open(d.pending) || d.pending.TxID != in.TxID {
			reply(w, 404, map[string]string{"detail": notFound})
			return
		}
		d.pending.displayed = true
		w.WriteHeader(204)
	case wire.ActionResponse:
		s.response(w, d, body)
	default:
		reply(w, 404, map[string]string{"detail": notFound})
	}
}

// absolute is the URL of a request as the phone knows it.
func (s *Server) absolute(r *http.Request) string { return s.URL + r.URL.Path[1:] }

// admits checks the token, and the proof of a phone that signs.
func (s *Server) admits(w http.ResponseWriter, r *http.Request, d *device, action string, body []byte) bool {
	if ses := s.session(r); action == wire.ActionStatus && ses != nil && d != nil && ses.device == d {
		return true
	}
	scheme := "Bearer "
	if d != nil && d.keys != nil {
		scheme = wire.ProofScheme + " "
	}
	if d != nil && action == wire.ActionEnrol && d.once != "" && s.flawed(CodeTwice) && r.Header.Get("Authorization") == "Bearer "+d.once {
		return true
	}
	if d != nil && s.flawed(TokenAlone) && r.Header.Get("Authorization") == "Bearer "+d.token {
		return true
	}
	if d == nil || r.Header.Get("Authorization") != scheme+d.token {
		for _, other := range s.devices { // the token is another device's: that one is not here
			if r.Header.Get("Authorization") == "Bearer "+other.token || r.Header.Get("Authorization") == wire.ProofScheme+" "+other.token {
				reply(w, 404, map[string]string{"detail": notFound})
				return false
			}
		}
		reply(w, 403, map[string]string{"detail": "Token invalid/expired"})
		return false
	}
	if d.fingerprint != "" && action != wire.ActionStatus {
		reply(w, 403, map[string]string{"detail": "Token invalid/expired"})
		return false
	}
	if d.keys == nil {
		return true
	}
	return s.proves(w, r, d.keys[wire.UsePossession], d.token, body)
}

// proves checks the proof of a request.
func (s *Server) proves(w http.ResponseWriter, r *http.Request, k wire.Key, token string, body []byte) bool {
	proof, err := s.proved(k, r.Header.Get(wire.ProofHeader), wire.Request{Method: r.Method, URL: s.absolute(r), Body: body, Token: token})
	problem := "invalid_dpop_proof"
	if err == nil && proof.Nonce != s.nonce && !s.flawed(AnyNonce) {
		problem, err = "use_dpop_nonce", errors.New("another nonce")
		w.Header().Set(wire.NonceHeader, s.nonce)
	}
	if err != nil || s.proofs.get(proof.ID) && !s.flawed(ProofTwice) {
		w.Header().Set("WWW-Authenticate", `DPoP error="`+problem+`"`)
		reply(w, 401, map[string]string{"detail": problem})
		return false
	}
	s.proofs.put(proof.ID, true, s.o.Clock.Now())
	return true
}

func (s *Server) enrol(w http.ResponseWriter, r *http.Request, d *device, body []byte) {
	var in wire.Enrollment
	if json.Unmarshal(body, &in) != nil || len(in.Validate()) > 0 || d.confirmed && !s.flawed(CodeTwice) {
		reply(w, 400, map[string]string{"detail": "bad"})
		return
	}
	if !s.flawed(AnyDemand) && (d.demands != "" && d.demands != "bearer" && in.Keys == nil || d.demands == verified && in.Keys.UserVerification == nil) {
		reply(w, 400, map[string][]string{"keys": {"This is not enough."}})
		return
	}
	once := d.token
	if d.once != "" {
		once = d.once
	}
	out := wire.EnrollmentCallback{Token: rand.Text()}
	if in.Keys != nil {
		keys, err := s.readKeys(*in.Keys, once, s.absolute(r))
		if err == nil && !s.proves(w, r, keys[wire.UsePossession], once, body) {
			return
		}
		if err == nil {
			out.ServerKey, err = json.Marshal(s.signer.Key)
		}
		if err != nil {
			reply(w, 400, map[string][]string{"keys": {err.Error()}})
			return
		}
		d.keys, d.evidence = keys, in.Keys.Attestation
	}
	d.once, d.fetch, d.token, d.info = once, in.Info.CanFetch(), out.Token, in.Info
	if d.keys != nil && s.o.Guarded && !s.flawed(Unconfirmed) {
		s.callIn(d, &out)
	} else {
		d.confirm()
	}
	reply(w, 200, out)
}

// readKeys are the keys that a phone brings; the stand-in takes no passkeys.
func (s *Server) readKeys(in wire.EnrollmentKeys, token, url string) (map[wire.Use]wire.Key, error) {
	possession, err := wire.ParseKey(s.public(in.Possession))
	if err != nil || in.UserVerification == nil {
		return map[wire.Use]wire.Key{wire.UsePossession: possession}, err
	}
	verification, err := wire.ParseKey(s.public(in.UserVerification))
	if err != nil {
		return nil, err
	}
	_, err = s.proved(verification, in.VerificationProof, wire.Request{Method: http.MethodPost, URL: url, Body: []byte(possession.Thumbprint), Token: token})
	return map[wire.Use]wire.Key{wire.UsePossession: possession, wire.UseVerification: verification}, err
}

// list is what is pending, signed for a phone that signs.
func (s *Server) list(d *device) []wire.Prompt {
	if !s.open(d.pending) {
		return []wire.Prompt{}
	}
	p := d.pending.Prompt
	if d.keys != nil {
		var err error
		signer := s.signer
		if s.flawed(UnsignedPrompt) {
			signer = newSigner()
		}
		if p.Challenge, err = signer.SignPrompt(p, s.URL, d.uuid); err != nil {
			panic(err) // texts
		}
	}
	return []wire.Prompt{p}
}

// pending answers at once, or with wait as soon as something else is pending than the phone knows.
func (s *Server) pending(w http.ResponseWriter, r *http.Request, d *device) {
	wait, _ := strconv.Atoi(r.FormValue("wait"))
	known := r.FormValue("known")
	over, stop := s.o.Clock.After(time.Duration(min(wait, maxHeld)) * time.Second)
	defer stop()
	for waiting := wait > 0; waiting; {
		list := s.list(d)
		if known == "" && len(list) > 0 || known != "" && (len(list) == 0 || list[0].TxID != known) {
			break
		}
		changed := d.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-over:
			waiting = false
		case <-r.Context().Done():
			waiting = false
		}
		s.mu.Lock()
	}
	reply(w, 200, wire.Pending{Pending: s.list(d)})
}

// socket tells a phone what is pending until it goes.
func (s *Server) socket(w http.ResponseWriter, r *http.Request, d *device) {
	upgrader := websocket.Upgrader{Subprotocols: []string{wire.SocketProtocol}}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	gone := make(chan struct{})
	s.mu.Unlock()
	defer s.mu.Lock()
	defer func() { _ = conn.Close() }()
	go func() {
		defer close(gone)
		_, _, _ = conn.NextReader()
	}()
	for {
		s.mu.Lock()
		message := wire.SocketMessage{Type: wire.SocketPending, Pending: s.list(d)}
		changed := d.changed
		s.mu.Unlock()
		if conn.WriteJSON(message) != nil {
			return
		}
		select {
		case <-changed:
		case <-gone:
			return
		}
	}
}

// response takes an answer.
func (s *Server) response(w http.ResponseWriter, d *device, body []byte) {
	var in wire.Response
	if json.Unmarshal(body, &in) != nil || len(in.Validate()) > 0 {
		reply(w, 400, map[string]string{"detail": "bad"})
		return
	}
	p := s.prompts.get(in.TxID)
	if !s.answerable(d, p) {
		reply(w, 404, map[string]string{"detail": notFound})
		return
	}
	if d.keys != nil {
		if err := s.holds(d, p, in); err != nil {
			s.refused = append(s.refused[max(0, len(s.refused)-maxRefusals):], err.Error())
			reply(w, 400, map[string][]string{"signed_answer": {err.Error()}})
			return
		}
	}
	if p.Mode.Picks() && in.SelectedItem != wire.ItemDeny && !slices.Contains(p.Items, in.SelectedItem) {
		reply(w, 400, map[string][]string{"selected_item": {"That is not a valid choice."}})
		return
	}
	mistyped := p.Mode.Types() && in.SelectedItem != wire.ItemDeny && in.SelectedItem != p.right
	if mistyped {
		p.left--
	}
	guessed := p.Mode.Picks() && in.SelectedItem != p.right && in.SelectedItem != wire.ItemDeny && s.flawed(GuessAgain)
	if (!mistyped || p.left == 0) && !guessed && p.answer == "" {
		p.answer = in.SelectedItem
		p.device.owner.answered(p)
		p.end("")
		d.stir()
	}
	if mistyped {
		reply(w, 400, wire.Refusal{Code: wire.WrongNumber, AttemptsLeft: p.left})
		return
	}
	w.WriteHeader(204)
}

// holds checks a signed answer.
func (s *Server) holds(d *device, p *prompt, in wire.Response) error {
	if in.Signed == "" && s.flawed(Unsigned) {
		return nil
	}
	use := wire.UsePossession
	if _, two := d.keys[wire.UseVerification]; two && in.SelectedItem != wire.ItemDeny {
		use = wire.UseVerification
	}
	if by := wire.KeyNamed(in.Signed); by == d.keys[wire.UsePossession].Thumbprint && (s.o.Guarded && d.demands != verified || s.flawed(PossessionDoes)) {
		use = wire.UsePossession
	}
	answer, err := s.answered(d.keys[use], in.Signed, use)
	if err != nil {
		return err
	}
	if s.flawed(AnyClaims) {
		return nil
	}
	item := answer.Item
	if answer.Verb != wire.Approve {
		item = wire.ItemDeny
	}
	if item != in.SelectedItem {
		return errors.New("the signed answer says something else than the request")
	}
	if s.flawed(AnyAlgorithm, AnySpelling, AnyPhone) {
		return nil
	}
	return answer.Of(p.Prompt, s.URL, d.uuid)
}

func (s *Server) open(p *prompt) bool {
	return p != nil && p.answer == "" && p.ended == "" && s.o.Clock.Now().Before(p.Expires)
}

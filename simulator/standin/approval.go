package standin

import (
	"encoding/json"
	"net/http"

	"countersign/mobile/wire"
)

// addApproval has a user's newest phone asked something that is no login.
func (s *Server) addApproval(w http.ResponseWriter, r *http.Request) {
	var in struct {
		User   int
		Fields wire.Transaction
	}
	if json.NewDecoder(r.Body).Decode(&in) != nil || s.users[in.User] == nil || len(s.users[in.User].devices) == 0 {
		reply(w, 400, map[string]string{"detail": "bad"})
		return
	}
	devices := s.users[in.User].devices
	p := s.prompt(devices[len(devices)-1], wire.AcceptDeny, &in.Fields)
	reply(w, 201, map[string]string{"id": p.TxID, "status": "pending"})
}

// approval tells how one stands.
func (s *Server) approval(w http.ResponseWriter, r *http.Request) {
	p := s.prompts.get(r.PathValue("id"))
	if p == nil {
		reply(w, 404, map[string]string{"detail": notFound})
		return
	}
	status := "pending"
	switch p.answer {
	case "":
	case p.right:
		status = "approved"
	default:
		status = "denied"
	}
	reply(w, 200, map[string]string{"id": p.TxID, "status": status})
}

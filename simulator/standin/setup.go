package standin

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
)

// addSetup makes a set-up flow, by its slug, or a stage, which knows what it demands.
func (s *Server) addSetup(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Slug    string
		Demands string `json:"accepted_answers"`
	}
	if json.NewDecoder(r.Body).Decode(&in) != nil {
		reply(w, 400, nil)
		return
	}
	key := in.Slug
	if key == "" {
		key = rand.Text()
	}
	s.setups[key] = in.Demands
	reply(w, 201, map[string]string{"pk": key})
}

// bindSetup has a flow demand what its stage does.
func (s *Server) bindSetup(w http.ResponseWriter, r *http.Request) {
	var in struct{ Target, Stage string }
	if json.NewDecoder(r.Body).Decode(&in) != nil {
		reply(w, 400, nil)
		return
	}
	s.setups[in.Target] = s.setups[in.Stage]
	reply(w, 201, nil)
}

func (s *Server) removeSetup(w http.ResponseWriter, r *http.Request) {
	if _, found := s.setups[r.PathValue("slug")]; !found {
		reply(w, 404, map[string]string{"detail": notFound})
		return
	}
	delete(s.setups, r.PathValue("slug"))
	w.WriteHeader(http.StatusNoContent)
}

// Setups counts the set-up flows and stages that were made.
func (s *Server) Setups() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.setups)
}

package standin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"countersign/simulator/fcm"
)

// sendLimit is how long the push service may take for one push.
const sendLimit = 5 * time.Second

// pushTo has a push sent, without waiting for it. failed is called, with the lock held, if it did not go out.
func (s *Server) pushTo(address string, data map[string]string, failed func()) {
	if address == "" || address == "-" {
		return
	}
	first := s.o.PushFails
	s.o.PushFails = false
	s.sending.Go(func() {
		if !first && s.send(address, data) == nil {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		failed()
	})
}

// send is one call of the push service, as a server of ours makes it.
func (s *Server) send(address string, data map[string]string) error {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	if s.troubled.Load() { // else none hangs, and a virtual clock need know of no limit
		over, stop := s.o.Clock.After(sendLimit)
		defer stop()
		s.sending.Go(func() {
			select {
			case <-over:
				cancel()
			case <-ctx.Done():
			}
		})
	}
	message, err := json.Marshal(map[string]any{"message": map[string]any{
		"token": address, "data": data, "android": map[string]any{"priority": "high", "ttl": fmt.Sprintf("%ds", int(s.o.Window.Seconds()))},
	}})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://fcm.invalid/v1/projects/"+s.double.Project()+"/messages:send", bytes.NewReader(message))
	if err != nil {
		return err
	}
	bearer, err := s.authorization()
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	req.Header.Set("Content-Type", "application/json")
	res, err := s.wire.RoundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(res.Body)
		return fmt.Errorf("send push: %d %s", res.StatusCode, text)
	}
	return nil
}

// Push sends raw data to an address, and waits until the push service has it.
func (s *Server) Push(address string, data map[string]string) error { return s.send(address, data) }

// Register gives out an address.
func (s *Server) Register(ctx context.Context, address string) (string, error) {
	return s.double.Register(ctx, address)
}

// Subscribe connects a phone.
func (s *Server) Subscribe(ctx context.Context, address string) (<-chan fcm.Message, error) {
	return s.double.Subscribe(ctx, address)
}

// SetConditions sets what every push meets.
func (s *Server) SetConditions(_ context.Context, c fcm.Conditions) error {
	s.troubled.Store(true)
	return s.double.SetConditions(c)
}

// authorization is the bearer token by which it sends.
func (s *Server) authorization() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Clock.Now()
	if now.Before(s.renew) {
		return s.bearer, nil
	}
	token, life, err := s.double.Bearer()
	s.bearer, s.renew = token, now.Add(life/2)
	return token, err
}

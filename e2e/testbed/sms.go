package testbed

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// What the providers of text messages ask of their customers.
const (
	TwilioSID   = "ACe2e00000000000000000000000000000"
	TwilioToken = "twilio-token-word"
	SMSURL      = "http://" + SMSHost + "/send"
	SMSBearer   = "generic-token-word"
)

// Message is a text message that arrived.
type Message struct {
	Host, To, From, Text string
	Code                 string // the digits in it
}

// SMS plays Twilio's Messages API and a provider that takes JSON, and is the telephone of every number.
type SMS struct {
	mu  sync.Mutex
	got []Message
}

var digits = regexp.MustCompile(`[0-9]{6}`)

// ServeHTTP takes a message.
func (s *SMS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	m := Message{Host: r.Host}
	known := false
	if r.Host == TwilioHost {
		form, err := url.ParseQuery(string(raw))
		if err != nil || r.URL.Path != "/2010-04-01/Accounts/"+TwilioSID+"/Messages.json" {
			http.Error(w, `{"code":20404,"message":"not found"}`, http.StatusNotFound)
			return
		}
		name, password, _ := r.BasicAuth()
		known = name == TwilioSID && password == TwilioToken
		m.To, m.From, m.Text = form.Get("To"), form.Get("From"), form.Get("Body")
	} else {
		var in struct{ From, To, Body, Message string }
		if err := json.Unmarshal(raw, &in); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		known = r.Header.Get("Authorization") == "Bearer "+SMSBearer
		m.To, m.From, m.Text = in.To, in.From, in.Message
	}
	if !known {
		http.Error(w, `{"code":20003,"message":"Authenticate"}`, http.StatusUnauthorized)
		return
	}
	m.Code = digits.FindString(m.Text)
	s.mu.Lock()
	s.got = append(s.got, m)
	s.mu.Unlock()
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, `{"sid":"SM0","status":"queued"}`)
}

// To are the messages to a number so far, which may be written with spaces.
func (s *SMS) To(number string) []Message {
	number = strings.ReplaceAll(number, " ", "")
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.got), func(m Message) bool { return m.To != number })
}

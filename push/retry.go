package push

import (
	"net/http"
	"strconv"
	"time"
)

// RetryAfter reads the header of that name in either of its forms (RFC 9110 §10.2.3); 0 when it is absent, past or nonsense.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	value := h.Get("Retry-After")
	if value == "" {
		return 0
	}
	if seconds, err := strconv.ParseUint(value, 10, 32); err == nil {
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return max(0, at.Sub(now))
}

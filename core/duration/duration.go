package duration

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

var units = map[string]time.Duration{
	"microseconds": time.Microsecond, "milliseconds": time.Millisecond, "seconds": time.Second, "minutes": time.Minute,
	"hours": time.Hour, "days": 24 * time.Hour, "weeks": 7 * 24 * time.Hour,
}

// Limit is the longest duration that Parse gives, either way: a hundred years.
const Limit = 100 * 365 * 24 * time.Hour

// Parse reads a duration string. Keys are taken in any case, numbers may be negative or have a fraction, unknown
// keys are passed over; without one known key, or with a malformed pair or a sum past Limit, it is an error whose
// text may be shown.
func Parse(s string) (time.Duration, error) {
	var sum float64
	known := false
	for pair := range strings.SplitSeq(s, ";") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		key, number, ok := strings.Cut(pair, "=")
		if !ok {
			return 0, fmt.Errorf("%q is not in the form of key=number;key=number", s)
		}
		unit, ok := units[strings.ToLower(strings.TrimSpace(key))]
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			return 0, fmt.Errorf("%q is not in the form of key=number;key=number", s)
		}
		known = true
		sum += n * float64(unit)
	}
	switch {
	case !known:
		return 0, fmt.Errorf("%q names none of microseconds, milliseconds, seconds, minutes, hours, days, weeks", s)
	case math.Abs(sum) > float64(Limit):
		return 0, fmt.Errorf("%q is more than a hundred years", s)
	}
	return time.Duration(sum), nil
}

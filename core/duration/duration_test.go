package duration_test

import (
	"testing"
	"time"

	"countersign/core/duration"
)

func TestParse(t *testing.T) {
	t.Parallel()
	good := map[string]time.Duration{
		"seconds=0": 0, "hours=1;minutes=30": 90 * time.Minute, "Days=1": 24 * time.Hour, "weeks=4": 28 * 24 * time.Hour,
		"hours=-1": -time.Hour, "minutes=0.5;": 30 * time.Second, "years=3;seconds=2": 2 * time.Second,
		" hours = 2 ": 2 * time.Hour, "milliseconds=1;microseconds=1": 1001 * time.Microsecond,
	}
	for in, want := range good {
		if got, err := duration.Parse(in); err != nil || got != want {
			t.Errorf("Parse(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", ";", "hours", "hours=", "hours=x", "years=3", "hours=NaN", "hours=Inf", "weeks=1e9", "1h"} {
		if got, err := duration.Parse(in); err == nil {
			t.Errorf("Parse(%q) = %v; want an error", in, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("days=1;hours=12")
	f.Add("hours==1")
	f.Fuzz(func(t *testing.T, in string) {
		d, err := duration.Parse(in)
		if err == nil && (d > duration.Limit || d < -duration.Limit) {
			t.Errorf("Parse(%q) = %v is past the limit", in, d)
		}
	})
}

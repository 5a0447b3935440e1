package standin

import "time"

// recent keeps what was put into it for at least an age, and not for ever: so a run of hours does not fill the memory. When it is full
// it keeps the newest half at least.
type recent[V any] struct {
	now, before map[string]V
	turned      time.Time
}

const (
	recentAge  = 10 * time.Minute
	recentFull = 100_000
)

func (r *recent[V]) put(key string, v V, at time.Time) {
	if r.now == nil || at.Sub(r.turned) > recentAge || len(r.now) >= recentFull {
		r.before, r.now, r.turned = r.now, map[string]V{}, at
	}
	r.now[key] = v
}

// get is the zero value for what is not there, or no more.
func (r *recent[V]) get(key string) V {
	if v, ok := r.now[key]; ok {
		return v
	}
	return r.before[key]
}

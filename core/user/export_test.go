package user

import "context"

// Occupy takes one of the hasher's slots until release is called.
func Occupy(h *Hasher) (release func()) {
	if err := h.acquire(context.Background()); err != nil {
		panic(err)
	}
	return h.release
}

// Initials and Merge are tested alone.
var (
	Initials = initials
	Merge    = merge
)

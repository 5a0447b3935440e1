package inbox

import (
	"countersign/simulator/fcm"
	"countersign/simulator/leak"
)

// Forbid names texts that must not be in any message: names of users, numbers, secrets.
func (b *Box) Forbid(texts ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forbidden = append(b.forbidden, texts...)
}

// Leaks says what of a message must not be in a push.
func (b *Box) Leaks(m fcm.Message) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return leak.In(m.Data, []string{m.Title, m.Body}, b.forbidden)
}

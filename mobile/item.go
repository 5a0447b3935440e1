package mobile

import (
	"crypto/rand"
	"fmt"
	"io"
	"math/big"

	"countersign/mobile/wire"
)

// draw gives the items of a prompt and the right answer. Numbers are over the full range, each equally likely: for number
// matching distinct ones, every set and every order equally likely, the right one at a place of its own chance. What is
// typed on the phone is no item; what the phone shows is the only one.
func draw(random io.Reader, mode wire.Mode) (items []string, correct string, err error) {
	digits := mode.Digits()
	if digits == 0 {
		return []string{wire.ItemAccept, wire.ItemDeny}, wire.ItemAccept, nil
	}
	limit := int64(1)
	for range digits {
		limit *= 10
	}
	if !mode.Picks() {
		n, err := pick(random, limit)
		if err != nil {
			return nil, "", err
		}
		correct = fmt.Sprintf("%0*d", digits, n)
		if mode.Shows() {
			return []string{correct}, correct, nil
		}
		return []string{}, correct, nil
	}
	seen := map[int64]bool{}
	for len(items) < wire.Numbers {
		n, err := pick(random, limit)
		if err != nil {
			return nil, "", err
		}
		if seen[n] {
			continue
		}
		seen[n] = true
		items = append(items, fmt.Sprintf("%0*d", digits, n))
	}
	right, err := pick(random, wire.Numbers)
	if err != nil {
		return nil, "", err
	}
	return items, items[right], nil
}

func pick(random io.Reader, limit int64) (int64, error) {
	n, err := rand.Int(random, big.NewInt(limit))
	if err != nil {
		return 0, fmt.Errorf("draw item: %w", err)
	}
	return n.Int64(), nil
}

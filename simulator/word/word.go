// Package word finds the known word that a mistyped one was meant to be. It owns no words.
package word

import (
	"fmt"
	"slices"
	"strings"
)

// Unknown is the error of a word that is not known: with the nearest that is, or where none is near with all that are.
func Unknown(what, word string, known []string) error {
	text := fmt.Sprintf("unknown %s %q", what, word)
	if near, found := Nearest(word, known); found {
		return fmt.Errorf("%s, did you mean %s?", text, near)
	}
	if len(known) == 0 {
		return fmt.Errorf("%s", text)
	}
	return fmt.Errorf("%s; known are %s", text, strings.Join(slices.Sorted(slices.Values(known)), ", "))
}

// Nearest is the known word that the fewest edits make of word, by bytes; none when it would take more than a third of them, and
// two.
func Nearest(word string, known []string) (string, bool) {
	best, least := "", max(2, len(word)/3)+1
	for _, one := range slices.Sorted(slices.Values(known)) {
		if d := edits(strings.ToLower(word), strings.ToLower(one)); d < least {
			best, least = one, d
		}
	}
	return best, best != ""
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

package wire

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Transaction is what somebody is asked to approve that is not a login: a payment, a change. It is in the signed challenge, and
// what a phone shows is made of it alone, by Lines (push.md T16).
type Transaction struct {
	Amount *Amount            `json:"amount,omitempty"`
	Fields []TransactionField `json:"fields,omitempty"` // further ones, at most MaxTransactionFields
	Payee  string             `json:"payee,omitempty"`
	Text   string             `json:"text,omitempty"`
	Title  string             `json:"title" api:"required"`
}

// Amount is a sum of money. Value has the digits after the point that its currency has (ISO 4217), no sign and no leading zeros:
// one sum has one text.
type Amount struct {
	Currency string `json:"currency" api:"required"`
	Value    string `json:"value" api:"required"`
}

// TransactionField is a field with a label of the application's.
type TransactionField struct {
	Label string `json:"label" api:"required"`
	Value string `json:"value" api:"required"`
}

// SchemaName is the component's name in the API document.
func (Transaction) SchemaName() string { return "MobileTransaction" }

// SchemaName is the component's name in the API document.
func (Amount) SchemaName() string { return "MobileTransactionAmount" }

// SchemaName is the component's name in the API document.
func (TransactionField) SchemaName() string { return "MobileTransactionField" }

// The bounds of a transaction, in characters. Filled to all of them it has less than 8 KiB.
const (
	MaxTransactionTitle  = 80
	MaxTransactionPayee  = 140
	MaxTransactionText   = 500
	MaxTransactionLabel  = 30
	MaxTransactionValue  = 140
	MaxTransactionFields = 6
	maxAmountDigits      = 13 // before the point
)

// decimals are the digits after the point of currencies that do not have two (ISO 4217).
var decimals = map[string]int{
	"BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "ISK": 0, "JPY": 0, "KMF": 0, "KRW": 0, "PYG": 0, "RWF": 0, "UGX": 0, "VND": 0, "VUV": 0, "XAF": 0,
	"XOF": 0, "XPF": 0, "BHD": 3, "IQD": 3, "JOD": 3, "KWD": 3, "LYD": 3, "OMR": 3, "TND": 3,
}

// Line is one line of what a phone displays.
type Line struct {
	Label string `json:"label"` // "" for the title
	Value string `json:"value"`
}

// Lines are what a phone displays of t, from top to bottom, each whole: a phone scrolls, and cuts nothing off.
func (t Transaction) Lines() []Line {
	out := []Line{{"", t.Title}}
	if t.Amount != nil {
		out = append(out, Line{"Amount", grouped(t.Amount.Value) + " " + t.Amount.Currency})
	}
	if t.Payee != "" {
		out = append(out, Line{"To", t.Payee})
	}
	for _, f := range t.Fields {
		out = append(out, Line(f))
	}
	if t.Text != "" {
		out = append(out, Line{"Text", t.Text})
	}
	return out
}

// grouped sets a thin gap, U+202F, between thousands, which no language reads as a point.
func grouped(value string) string {
	whole, rest, point := strings.Cut(value, ".")
	var out []string
	for len(whole) > 3 {
		out = append(out, whole[len(whole)-3:])
		whole = whole[:len(whole)-3]
	}
	out = append(out, whole)
	slices.Reverse(out)
	s := strings.Join(out, "\u202f")
	if point {
		s += "." + rest
	}
	return s
}

// Validate returns what is wrong with t, nil if nothing is. Text that could be shown in two ways is refused: controls and line
// breaks, characters that turn the direction of text or are not seen, and spaces at an end or in a row.
func (t Transaction) Validate() []Violation {
	var v violations
	v.shown("title", t.Title, MaxTransactionTitle)
	if t.Amount != nil {
		if err := t.Amount.check(); err != nil {
			v.add("amount", "invalid", err.Error())
		}
	}
	if t.Payee != "" {
		v.shown("payee", t.Payee, MaxTransactionPayee)
	}
	if t.Text != "" {
		v.shown("text", t.Text, MaxTransactionText)
	}
	if len(t.Fields) > MaxTransactionFields {
		v.add("fields", "max_length", fmt.Sprintf("Ensure this field has no more than %d elements.", MaxTransactionFields))
	}
	seen := map[string]bool{"Amount": true, "To": true, "Text": true}
	for i, f := range t.Fields {
		at := "fields." + strconv.Itoa(i)
		v.shown(at+".label", f.Label, MaxTransactionLabel)
		v.shown(at+".value", f.Value, MaxTransactionValue)
		if seen[f.Label] {
			v.add(at+".label", "unique", "This label is taken.")
		}
		seen[f.Label] = true
	}
	return v
}

func (a Amount) check() error {
	if len(a.Currency) != 3 || strings.Trim(a.Currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return errors.New("The currency must be three capitals of ISO 4217.") //nolint:revive,staticcheck // text for people
	}
	want, known := decimals[a.Currency]
	if !known {
		want = 2
	}
	whole, rest, point := strings.Cut(a.Value, ".")
	switch {
	case whole == "" || len(whole) > maxAmountDigits || !digits(whole) || !digits(rest) || len(rest) != want || point != (want > 0):
		return fmt.Errorf("The value must be digits with %d after the point, as %s has them.", want, a.Currency) //nolint:revive,staticcheck // text for people
	case len(whole) > 1 && whole[0] == '0':
		return errors.New("The value must not begin with zeros.") //nolint:revive,staticcheck // text for people
	}
	return nil
}

// shown checks a text that a person is to read before they sign it.
func (v *violations) shown(field, s string, limit int) {
	before := len(*v)
	v.text(field, s, limit)
	if len(*v) > before {
		return
	}
	if strings.TrimSpace(s) != s || strings.Contains(s, "  ") {
		v.add(field, "invalid", "There must be no space at an end, nor two in a row.")
	}
	for _, r := range s {
		if !unicode.IsPrint(r) || r == utf8.RuneError || turns(r) || hidden(r) {
			v.add(field, "invalid", fmt.Sprintf("The character U+%04X may not be shown.", r))
			return
		}
	}
}

// turns tells whether a character changes the direction of what follows it (Unicode Bidi_Control).
func turns(r rune) bool { return unicode.Is(unicode.Bidi_Control, r) }

// hidden tells whether a character is printed as nothing.
func hidden(r rune) bool {
	return unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) || unicode.Is(unicode.Variation_Selector, r) || r == '\u2800'
}

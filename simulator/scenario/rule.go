package scenario

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"countersign/simulator/word"
)

// Rule is a limit of a metric as k6 writes it: "p(95)<500", "rate<=0.01", "count>100".
type Rule struct {
	Aggregation string // avg, min, med, max, p, count, rate
	Quantile    float64
	Operator    string
	Value       float64
}

// Aggregations are the words that a Rule knows.
var Aggregations = []string{"avg", "min", "med", "max", "p", "count", "rate"}

var rulePattern = regexp.MustCompile(`^\s*([a-z]+)\s*(?:\(\s*([0-9.]+)\s*\))?\s*(===?|==|!=|<=|>=|<|>)\s*(-?[0-9.]+)\s*$`)

// UnmarshalText reads a rule.
func (r *Rule) UnmarshalText(text []byte) error {
	m := rulePattern.FindStringSubmatch(string(text))
	if m == nil {
		return fmt.Errorf("want a limit such as p(95)<500, not %q", text)
	}
	out := Rule{Aggregation: m[1], Operator: operator(m[3])}
	var err error
	if out.Value, err = strconv.ParseFloat(m[4], 64); err != nil {
		return fmt.Errorf("%q is no number", m[4])
	}
	if !slices.Contains(Aggregations, out.Aggregation) {
		return word.Unknown("aggregation", out.Aggregation, Aggregations)
	}
	if (out.Aggregation == "p") != (m[2] != "") {
		return fmt.Errorf("want p(95), a quantile of 0 to 100 in brackets after p alone, not %q", text)
	}
	if m[2] != "" {
		if out.Quantile, err = strconv.ParseFloat(m[2], 64); err != nil || out.Quantile > 100 {
			return fmt.Errorf("%q is no quantile of 0 to 100", m[2])
		}
	}
	*r = out
	return nil
}

// MarshalText writes the rule as UnmarshalText reads it.
func (r Rule) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

func (r Rule) String() string {
	name := r.Aggregation
	if name == "p" {
		name = "p(" + number(r.Quantile) + ")"
	}
	return name + r.Operator + number(r.Value)
}

// Holds says whether the value found is within the limit.
func (r Rule) Holds(found float64) bool { return holds(found, r.Operator, r.Value) }

// Check is what must hold in the end: a counter of the run against a number or another counter, "approved_unanswered == 0".
type Check struct {
	Counter  string
	Operator string
	Value    float64
	Other    string // a counter instead of Value
}

var checkPattern = regexp.MustCompile(`^\s*([a-z_]+)\s*(===?|==|!=|<=|>=|<|>)\s*(?:(-?[0-9.]+)|([a-z_]+))\s*$`)

// UnmarshalText reads a check.
func (c *Check) UnmarshalText(text []byte) error {
	m := checkPattern.FindStringSubmatch(string(text))
	if m == nil {
		return fmt.Errorf("want a check such as approved_unanswered == 0, not %q", text)
	}
	out := Check{Counter: m[1], Operator: operator(m[2]), Other: m[4]}
	if m[3] != "" {
		var err error
		if out.Value, err = strconv.ParseFloat(m[3], 64); err != nil {
			return fmt.Errorf("%q is no number", m[3])
		}
	}
	*c = out
	return nil
}

// MarshalText writes the check as UnmarshalText reads it.
func (c Check) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

func (c Check) String() string {
	return c.Counter + " " + c.Operator + " " + cmp.Or(c.Other, number(c.Value))
}

// Holds says whether the counter's value found stands so to the other's, which is ignored where the check names a number.
func (c Check) Holds(found, other float64) bool {
	if c.Other == "" {
		other = c.Value
	}
	return holds(found, c.Operator, other)
}

func operator(text string) string {
	if text == "===" { // k6 takes it
		return "=="
	}
	return text
}

func holds(a float64, operator string, b float64) bool {
	switch operator {
	case "==":
		return a == b
	case "!=":
		return a != b
	case "<=":
		return a <= b
	case ">=":
		return a >= b
	case "<":
		return a < b
	}
	return a > b
}

func number(v float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', -1, 64), ".0")
}

package db

import (
	"strconv"
	"strings"
)

// Pred is a condition: SQL with placeholders $1…$n, numbered from 1, and their values. The zero Pred holds for every row.
type Pred struct {
	SQL  string
	Args []any
}

// At is the SQL with its placeholders renumbered so that the first is $n, for use in a statement that has n-1 arguments
// already; the caller appends p.Args to these. Text in quotes stays as it is. The zero Pred gives "true".
func (p Pred) At(n int) string {
	if p.SQL == "" {
		return "true"
	}
	return Renumber(p.SQL, n)
}

// And joins conditions; zero ones are left out, and none is the zero Pred.
func And(ps ...Pred) Pred { return join(" AND ", ps) }

func join(word string, ps []Pred) Pred {
	var out Pred
	parts := make([]string, 0, len(ps))
	for _, p := range ps {
		if p.SQL == "" {
			continue
		}
		parts = append(parts, "("+p.At(len(out.Args)+1)+")")
		out.Args = append(out.Args, p.Args...)
	}
	out.SQL = strings.Join(parts, word)
	return out
}

// Renumber moves the placeholders $1, $2 … of a statement to $n, $n+1 … It leaves alone what stands in single or
// double quotes; comments and dollar-quoted text must hold no placeholder.
func Renumber(sql string, n int) string {
	if n <= 1 {
		return sql
	}
	var b strings.Builder
	b.Grow(len(sql) + 8)
	var quote byte
	for i := 0; i < len(sql); i++ {
		c := sql[i]
		switch {
		case quote != 0:
			if c == quote { // a doubled quote closes and opens again
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '$':
			j := i + 1
			for j < len(sql) && sql[j] >= '0' && sql[j] <= '9' {
				j++
			}
			if k, err := strconv.Atoi(sql[i+1 : j]); err == nil {
				b.WriteByte('$')
				b.WriteString(strconv.Itoa(k + n - 1))
				i = j - 1
				continue
			}
		}
		b.WriteByte(c)
	}
	return b.String()
}

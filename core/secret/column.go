package secret

import (
	"fmt"
	"strings"
)

// Column says where a package keeps sealed values: enough to seal and open one, and for core/secret/rekey to find all.
// The names are SQL identifiers of the package's own, never what a request says.
type Column struct {
	Table string
	Name  string   // of type bytea, in the form of Seal; or of type jsonb, with Field
	Field string   // of the objects in a jsonb column: a text in the form of SealText
	Key   []string // the primary key's columns
	Bound []string // the columns to whose values the associated data binds a value; nil are those of Key
	Where string   // SQL, which of the rows hold such a value; "" are all

	// Hash is a column with a keyed hash of the plain value, of the purpose HashLabel (Keeper.MAC): it is made anew with the
	// value. A row that has the hash alone keeps it, and with it the key that it was made with.
	Hash, HashLabel string
}

// AAD is the associated data of the value in the row in which the columns of Bound have these values, in their order.
func (c Column) AAD(values ...any) string {
	var b strings.Builder
	b.WriteString(c.Table)
	b.WriteByte('.')
	b.WriteString(strings.TrimSuffix(c.Name, "_sealed"))
	if c.Field != "" {
		b.WriteByte('.')
		b.WriteString(c.Field)
	}
	for _, v := range values {
		fmt.Fprintf(&b, ":%v", v)
	}
	return b.String()
}

// String names the column for people, "stages.settings.auth".
func (c Column) String() string {
	name := c.Table + "." + c.Name
	if c.Field != "" {
		name += "." + c.Field
	}
	return name
}

// BoundTo are the columns of Bound, or of Key.
func (c Column) BoundTo() []string {
	if c.Bound != nil {
		return c.Bound
	}
	return c.Key
}

package rekey

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/secret"
)

const (
	pageSize = 200
	// maxIDs bounds how many rows a report names in a column; it counts them all.
	maxIDs = 1000
	// maxTries is how often a page is read again because somebody else changed a row of it.
	maxTries = 20

	uniqueViolation = "23505" // PostgreSQL's code
)

// Rows are some rows of a column, by the text of their primary keys, whose parts a slash divides.
type Rows struct {
	Count int
	IDs   []string // at most maxIDs of them
}

func (r *Rows) add(id string) {
	if r.Count++; len(r.IDs) < maxIDs {
		r.IDs = append(r.IDs, id)
	}
}

func (r *Rows) join(o Rows) {
	r.Count += o.Count
	r.IDs = append(r.IDs, o.IDs[:min(len(o.IDs), maxIDs-len(r.IDs))]...)
}

// Count is what was found in a column.
type Count struct {
	Column  string
	Old     int  // values of an older key: sealed anew, or with Check still to be
	Current int  // values that the first key sealed
	Unknown Rows // values whose key is not configured
	Damaged Rows // values that do not open with the key that they name: damaged, or moved here from another row
	Taken   Rows // values whose keyed hash another row has, so they were left as they are
	Bound   Rows // keyed hashes of an older key, or of one that is not configured, without a value to make them anew
}

// Failed is how many values could not be sealed anew.
func (c *Count) Failed() int { return c.Unknown.Count + c.Damaged.Count + c.Taken.Count }

func (c *Count) join(o Count) {
	c.Old, c.Current = c.Old+o.Old, c.Current+o.Current
	c.Unknown.join(o.Unknown)
	c.Damaged.join(o.Damaged)
	c.Taken.join(o.Taken)
	c.Bound.join(o.Bound)
}

// Report is what a walk found, in the order of the columns.
type Report []Count

// Old is how many values of older keys were found.
func (r Report) Old() int { return r.sum(func(c *Count) int { return c.Old }) }

// Failed is how many values could not be sealed anew.
func (r Report) Failed() int { return r.sum((*Count).Failed) }

// Bound is how many keyed hashes end with an older key.
func (r Report) Bound() int { return r.sum(func(c *Count) int { return c.Bound.Count }) }

func (r Report) sum(of func(*Count) int) (n int) {
	for i := range r {
		n += of(&r[i])
	}
	return n
}

// Database is a pool, or a transaction in tests.
type Database interface {
	db.Querier
	db.Beginner
}

// Check counts and changes nothing.
func Check(ctx context.Context, d Database, k *secret.Keeper, columns []secret.Column) (Report, error) {
	return walk(ctx, d, k, columns, false)
}

// Run seals anew what an older key sealed and writes one event of what it did, also when it is broken off. Values that
// fail are in the report and are no error. Errors: the database's, and ctx's; the report then tells how far it came.
func Run(ctx context.Context, d Database, k *secret.Keeper, events *event.Log, columns []secret.Column) (Report, error) {
	report, err := walk(ctx, d, k, columns, true)
	note, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return report, errors.Join(err, events.Emit(note, d, record(report, k, err == nil)))
}

// record is the event of a run. The counts are a list, as values under names that sound like a secret are masked.
func record(r Report, k *secret.Keeper, complete bool) event.Event {
	var columns []map[string]any
	for _, c := range r {
		columns = append(columns, map[string]any{
			"column": c.Column, "resealed": c.Old, "current": c.Current, "failed": c.Failed(), "bound": c.Bound.Count,
		})
	}
	return event.Event{Action: event.SecretRotate, Context: map[string]any{
		"message": fmt.Sprintf("%d stored secrets were sealed with the current server key, %d could not be.", r.Old(), r.Failed()),
		"command": "countersign rekey", "sealed_with": k.KeyIDs()[0], "columns": columns, "complete": complete,
	}}
}

func walk(ctx context.Context, d Database, k *secret.Keeper, columns []secret.Column, write bool) (Report, error) {
	var report Report
	for _, c := range columns {
		w := &walker{db: d, keeper: k, column: c, write: write}
		if c.Hash != "" {
			w.mac = k.MAC(c.HashLabel)
		}
		count := Count{Column: c.String()}
		err := w.walk(ctx, &count)
		report = append(report, count)
		if err != nil {
			return report, fmt.Errorf("seal %s anew: %w", c, err)
		}
	}
	return report, nil
}

// walker goes through one column.
type walker struct {
	db     Database
	keeper *secret.Keeper
	mac    *secret.MAC // of the column's keyed hash; nil if there is none
	column secret.Column
	write  bool
}

// row is one as it is read. Value is nil where a row has the hash alone.
type row struct {
	Key, Bound []string
	Value      []byte
	Hash       []byte
}

func (r *row) id() string { return strings.Join(r.Key, "/") }

var (
	errChanged = errors.New("rows were changed meanwhile") // since they were read
	errTaken   = errors.New("another row has the hash")
)

func (w *walker) walk(ctx context.Context, into *Count) error {
	var after []string
	for tries := 0; ; {
		rows, err := w.page(ctx, after)
		if err != nil || len(rows) == 0 {
			return err
		}
		count, err := w.turn(ctx, rows)
		if errors.Is(err, errChanged) && tries < maxTries {
			tries++
			continue
		}
		if err != nil {
			return err
		}
		into.join(count)
		after, tries = rows[len(rows)-1].Key, 0
	}
}

// turn counts a page and, to write, seals what needs it.
func (w *walker) turn(ctx context.Context, rows []row) (Count, error) {
	var count Count
	var stale []row
	plain := map[string][]byte{}
	for _, r := range rows {
		if r.Value == nil {
			if !w.mac.Current(r.Hash) {
				count.Bound.add(r.id())
			}
			continue
		}
		value, err := w.open(r)
		switch {
		case errors.Is(err, secret.ErrUnknownKey):
			count.Unknown.add(r.id())
		case err != nil:
			count.Damaged.add(r.id())
		case w.current(r):
			count.Current++
		default:
			count.Old++
			stale = append(stale, r)
			plain[r.id()] = value
		}
	}
	if !w.write || len(stale) == 0 {
		return count, nil
	}
	err := db.InTx(ctx, w.db, func(tx pgx.Tx) error {
		for _, r := range stale {
			err := w.seal(ctx, tx, r, plain[r.id()])
			if errors.Is(err, errTaken) {
				count.Old--
				count.Taken.add(r.id())
				continue
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	return count, err
}

// open gives the plain value.
func (w *walker) open(r row) ([]byte, error) {
	aad := w.aad(r)
	if w.column.Field == "" {
		return w.keeper.Open(r.Value, aad)
	}
	text, err := w.keeper.OpenText(string(r.Value), aad)
	return []byte(text), err
}

// current tells whether value and hash are those of the first key.
func (w *walker) current(r row) bool {
	if w.mac != nil && !w.mac.Current(r.Hash) {
		return false
	}
	if w.column.Field == "" {
		return w.keeper.Current(r.Value)
	}
	return w.keeper.CurrentText(string(r.Value))
}

func (w *walker) aad(r row) string {
	bound := make([]any, len(r.Bound))
	for i, v := range r.Bound {
		bound[i] = v
	}
	return w.column.AAD(bound...)
}

// seal writes a value anew, unless it is not what was read any more. Errors: errChanged, errTaken.
func (w *walker) seal(ctx context.Context, tx pgx.Tx, r row, plain []byte) error {
	c := w.column
	args := []any{r.Value, nil}
	set, was := c.Name+" = $2", c.Name+" = $1"
	if c.Field == "" {
		args[1] = w.keeper.Seal(plain, w.aad(r))
	} else {
		args[0], args[1] = string(r.Value), w.keeper.SealText(string(plain), w.aad(r))
		set = fmt.Sprintf("%[1]s = jsonb_set(%[1]s, '{%[2]s}', to_jsonb($2::text))", c.Name, c.Field)
		was = w.value() + " = $1::text"
	}
	if c.Hash != "" {
		args = append(args, w.mac.Sum(plain))
		set += fmt.Sprintf(", %s = $%d", c.Hash, len(args))
	}
	sql := fmt.Sprintf("UPDATE %s SET %s WHERE %s AND %s = %s", c.Table, set, was, tuple(c.Key), params(&args, r.Key))
	update := func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, sql, args...)
		var pg *pgconn.PgError
		switch {
		case errors.As(err, &pg) && pg.Code == uniqueViolation:
			return errTaken
		case err != nil:
			return db.Fault(err)
		case tag.RowsAffected() == 0:
			return errChanged
		}
		return nil
	}
	var err error
	if c.Hash == "" {
		err = update(tx)
	} else { // a hash that is taken undoes this row, not the page
		err = db.InTx(ctx, tx, update)
	}
	if err != nil {
		return fmt.Errorf("row %s: %w", r.id(), err)
	}
	return nil
}

// page reads rows after the one with that key.
func (w *walker) page(ctx context.Context, after []string) ([]row, error) {
	c := w.column
	value, hash := w.value(), "NULL::bytea"
	there := value + " IS NOT NULL"
	if c.Field != "" {
		there = value + " <> ''"
		value = "convert_to(" + value + ", 'UTF8')"
	}
	if c.Hash != "" {
		hash = c.Hash
		there = "(" + there + " OR " + hash + " IS NOT NULL)"
	}
	sql := fmt.Sprintf("SELECT %s, %s, %s, %s FROM %s WHERE %s", texts(c.Key), texts(c.BoundTo()), value, hash, c.Table, there)
	if c.Where != "" {
		sql += " AND (" + c.Where + ")"
	}
	var args []any
	if after != nil {
		sql += " AND " + tuple(c.Key) + " > " + params(&args, after)
	}
	rows, err := w.db.Query(ctx, sql+" ORDER BY "+strings.Join(c.Key, ", ")+fmt.Sprintf(" LIMIT %d", pageSize), args...)
	if err != nil {
		return nil, fmt.Errorf("read a page: %w", db.Fault(err))
	}
	page, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		return nil, fmt.Errorf("read a page: %w", db.Fault(err))
	}
	return page, nil
}

// value is the SQL of what is sealed.
func (w *walker) value() string {
	if w.column.Field == "" {
		return w.column.Name
	}
	return w.column.Name + "->>'" + w.column.Field + "'"
}

func tuple(columns []string) string { return "(" + strings.Join(columns, ", ") + ")" }

func texts(columns []string) string { return "ARRAY[" + strings.Join(columns, "::text, ") + "::text]" }

// params adds values to args and gives their places. Texts pass as parameters of any type.
func params(args *[]any, values []string) string {
	places := make([]string, len(values))
	for i, v := range values {
		*args = append(*args, v)
		places[i] = fmt.Sprintf("$%d", len(*args))
	}
	return tuple(places)
}

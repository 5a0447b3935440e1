package db

import (
	"context"
	"errors"
	"io"
	"net"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"countersign/core/fault"
)

// Fault says what an error of the database means to a client, with err as the private cause:
//
//	no rows                                             → NotFound
//	unique constraint                                   → Invalid, code unique, on the column (on the body for several)
//	foreign key to a row that is not there              → Invalid, code does_not_exist, on the column
//	foreign key from a row that still is there          → Conflict
//	not null, check, value out of range or malformed    → Invalid
//	server gone, starting, stopping, full or too slow   → Unavailable
//	deadlock, serialisation                             → Unavailable: trying again helps
//
// A fault, nil, a cancelled context and what is not in this list come back as they are; the last is thereby internal.
func Fault(err error) error {
	var known *fault.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return fault.Missing().Wrap(err)
	}
	if Away(err) {
		return unavailable(err)
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	switch pg.Code {
	case "23505":
		columns := keyColumns(pg)
		if len(columns) == 1 {
			return fault.Field(columns[0], "unique", "This field must be unique.").Wrap(err)
		}
		return fault.Field(fault.NonField, "unique", uniqueSet(columns)).Wrap(err)
	case "23503", "23001":
		// Only the message tells the two sides of a foreign key apart; the managed server and most others speak English.
		if pg.Code == "23001" || strings.HasPrefix(pg.Message, "update or delete") {
			return fault.New(fault.Conflict, "in_use", "This object is still used by others.").Wrap(err)
		}
		return fault.Field(oneColumn(keyColumns(pg)), "does_not_exist", "Invalid pk - object does not exist.").Wrap(err)
	case "23502":
		return fault.Field(oneColumn([]string{pg.ColumnName}), "null", "This field may not be null.").Wrap(err)
	case "23514":
		return fault.Field(oneColumn([]string{between(pg.ConstraintName, pg.TableName+"_", "_check")}), "invalid", "Not a valid value.").Wrap(err)
	case "22001", "22003", "22007", "22008", "22021", "22P02", "22P05":
		return fault.Field(fault.NonField, "invalid", "A value is not valid.").Wrap(err)
	case "40001", "40P01":
		return unavailable(err)
	}
	return err
}

// Away tells whether err says that the server could not be reached or could not serve just now, so that the same
// statement may succeed later.
func Away(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) {
		return false
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		// 08 connection, 53 out of resources (full disk, too many connections), 57P0x shut down, crashed, starting;
		// 57014 is our statement_timeout, 55P03 a lock_timeout.
		return strings.HasPrefix(pg.Code, "08") || strings.HasPrefix(pg.Code, "53") || strings.HasPrefix(pg.Code, "57P0") ||
			pg.Code == "57014" || pg.Code == "55P03"
	}
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connect) || errors.As(err, &network) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		strings.Contains(err.Error(), "conn closed") || strings.Contains(err.Error(), "closed pool") // pgx has no value for these
}

func unavailable(err error) error {
	e := fault.New(fault.Unavailable, "database_unavailable", "The database is not available at the moment. Please try again.")
	e.RetryAfter = time.Second
	return e.Wrap(err)
}

var keyDetail = regexp.MustCompile(`\(([^()]+)\)=\(`)

// keyColumns are the columns of a violated key: those the server lists in the detail ("Key (a, b)=(1, 2) …"; the form
// is the same in every language), else what the constraint's name says by our convention <table>_<column>_key or _fkey.
func keyColumns(pg *pgconn.PgError) []string {
	if m := keyDetail.FindStringSubmatch(pg.Detail); m != nil {
		columns := strings.Split(m[1], ",")
		for i, c := range columns {
			columns[i] = strings.Trim(c, ` "`)
		}
		return columns
	}
	for _, suffix := range []string{"_fkey", "_key"} {
		if c := between(pg.ConstraintName, pg.TableName+"_", suffix); c != "" {
			return []string{c}
		}
	}
	return nil
}

func between(s, prefix, suffix string) string {
	if strings.HasPrefix(s, prefix) && strings.HasSuffix(s, suffix) && len(s) > len(prefix)+len(suffix) {
		return s[len(prefix) : len(s)-len(suffix)]
	}
	return ""
}

func oneColumn(columns []string) string {
	if len(columns) == 1 && columns[0] != "" {
		return columns[0]
	}
	return fault.NonField
}

func uniqueSet(columns []string) string {
	if len(columns) == 0 {
		return "This object must be unique."
	}
	return "The fields " + strings.Join(columns, ", ") + " must make a unique set."
}

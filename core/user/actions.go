package user

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"countersign/core/api"
	"countersign/core/db"
	"countersign/core/event"
	"countersign/core/eventlog"
	"countersign/core/fault"
	"countersign/core/resource"
)

// UserPath is all paths under which there are users.
type UserPath struct { //nolint:revive // the contract's name of the component
	Paths []string `json:"paths" api:"ro"`
}

// maxPaths bounds the answer of paths/.
const maxPaths = 10_000

func (s *Service) paths(ctx context.Context, c *resource.Rows[User], _ api.None) (UserPath, error) {
	rows, err := c.DB.Query(ctx, `SELECT DISTINCT t.path FROM users t WHERE `+c.Where.At(1)+` ORDER BY 1 LIMIT `+strconv.Itoa(maxPaths), c.Where.Args...)
	if err != nil {
		return UserPath{}, fmt.Errorf("list user paths: %w", db.Fault(err))
	}
	paths, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return UserPath{}, fmt.Errorf("list user paths: %w", db.Fault(err))
	}
	return UserPath{Paths: paths}, nil
}

// UserPasswordSet is a new password; it is taken as it is, blanks included.
type UserPasswordSet struct { //nolint:revive // the contract's name of the component
	Password string `json:"password" api:"required,raw"`
}

func (s *Service) setPassword(ctx context.Context, c *resource.Call[User], in UserPasswordSet) (api.None, error) {
	// Whoever may reset passwords must not become a superuser by resetting one's.
	if c.Row.IsSuperuser && !c.Request.Actor.Superuser {
		return api.None{}, fault.Forbidden()
	}
	return api.None{}, s.Users.SetPassword(ctx, c.Tx, c.Row, in.Password)
}

// UserMetrics are a user's last seven days in steps of eight hours, newest first.
type UserMetrics struct { //nolint:revive // the contract's name of the component
	Logins         []eventlog.Coordinate `json:"logins" api:"ro"`
	LoginsFailed   []eventlog.Coordinate `json:"logins_failed" api:"ro"`
	Authorizations []eventlog.Coordinate `json:"authorizations" api:"ro"`
}

func (s *Service) metrics(ctx context.Context, c *resource.Call[User], _ api.None) (UserMetrics, error) {
	var m UserMetrics
	if !c.Request.Actor.Can(eventlog.ViewEvent) {
		return m, fault.Forbidden()
	}
	for _, part := range []struct {
		into   *[]eventlog.Coordinate
		action event.Action
		sql    string
		value  string
	}{
		{&m.Logins, event.Login, `t."user"->>'pk' = $2`, strconv.Itoa(c.Row.ID)},
		{&m.LoginsFailed, event.LoginFailed, `t.context->>'username' = $2`, c.Row.Username},
		{&m.Authorizations, event.AuthorizeApplication, `t."user"->>'pk' = $2`, strconv.Itoa(c.Row.ID)},
	} {
		where := db.Pred{SQL: `t.action = $1 AND ` + part.sql, Args: []any{string(part.action), part.value}}
		points, err := eventlog.Series(ctx, c.Tx, where, s.Users.Now(), eventlog.Week, eventlog.WeekSteps)
		if err != nil {
			return m, err
		}
		*part.into = points
	}
	return m, nil
}

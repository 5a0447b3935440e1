//go:build !unix

package db

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"
)

// ManagedOptions are the settings of a managed PostgreSQL.
type ManagedOptions struct {
	Dir          string
	Log          *slog.Logger
	Bin          string
	Connections  int
	Volatile     bool
	StartTimeout time.Duration
	FetchURL     string
	FetchVersion string
	FetchTimeout time.Duration
	HTTP         *http.Client
}

// Managed is a PostgreSQL server that this process runs; there is none on this system.
type Managed struct{}

// StartManaged fails: a managed PostgreSQL needs a Unix system.
func StartManaged(context.Context, ManagedOptions) (*Managed, error) {
	return nil, errors.New("this system has no managed PostgreSQL: give the URL of a server")
}

// URL is empty.
func (*Managed) URL() string { return "" }

// PID is 0.
func (*Managed) PID() int { return 0 }

// Programs is empty.
func (*Managed) Programs() string { return "" }

// Stop does nothing.
func (*Managed) Stop(context.Context) error { return nil }

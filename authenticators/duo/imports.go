package duo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/duosecurity/duo_api_golang/admin"
	"github.com/jackc/pgx/v5"

	"countersign/core/api"
	"countersign/core/db"
	"countersign/core/fault"
)

const (
	importedName  = "Imported Duo Authenticator"
	importTimeout = time.Minute // for all pages together
	importPage    = 300         // Duo's largest
	importPages   = 200
	addDevice     = app + ".add_" + model
)

// ManualImport names one of Duo's users and one of ours.
type ManualImport struct {
	DuoUserID string `json:"duo_user_id" api:"required"`
	Username  string `json:"username" api:"required"`
}

// SchemaName is the component's name; the request's is this with Request.
func (ManualImport) SchemaName() string { return "AuthenticatorDuoStageManualDeviceImport" }

// ImportResult tells how many devices were imported, and what stopped the import.
type ImportResult struct {
	Count int    `json:"count" api:"ro"`
	Error string `json:"error" api:"ro"`
}

// SchemaName is the component's name.
func (ImportResult) SchemaName() string { return "AuthenticatorDuoStageDeviceImportResponse" }

func (s *Service) mountImports(a *api.API) {
	const path, description = "/stages/authenticator/duo/{stage_uuid}/", "Import duo devices into authentik"
	api.Handle(a, api.Operation{
		Method: "POST", Path: path + "import_device_manual/", Params: stageKey(), Description: description, Permission: addDevice,
	}, s.importManual)
	a.Raw(api.Operation{
		Method: "POST", Path: path + "import_devices_automatic/", Params: stageKey(), Description: description, Permission: addDevice,
		Response: ImportResult{},
	}, s.importAutomatic)
}

// importManual makes a device for a person whom Duo knows already.
func (s *Service) importManual(ctx context.Context, r *api.Request, in ManualImport) (api.None, error) {
	st, err := s.stage(ctx, s.Pool, r.Param("stage_uuid"))
	if err != nil {
		return api.None{}, err
	}
	if len(in.DuoUserID) > maxText {
		return api.None{}, fault.Field("duo_user_id", "max_length", fmt.Sprintf("Ensure this field has no more than %d characters.", maxText))
	}
	return api.None{}, db.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		var known bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM users WHERE username = $1)`, in.Username).Scan(&known); err != nil {
			return fmt.Errorf("look for user: %w", db.Fault(err))
		}
		if !known {
			return fault.Field(fault.NonField, "invalid", "User does not exist.")
		}
		n, err := s.add(ctx, tx, st, []pair{{in.Username, in.DuoUserID}})
		if err != nil {
			return err
		}
		if n == 0 {
			return fault.Field(fault.NonField, "invalid", "Device exists already.")
		}
		return nil
	})
}

// pair is a person by their names here and there.
type pair struct{ Username, DuoUser string }

// add makes devices for those who are users here and have none of that Duo user, and tells how many.
func (s *Service) add(ctx context.Context, tx pgx.Tx, st *Stage, pairs []pair) (int, error) {
	names, ids := make([]string, 0, len(pairs)), make([]string, 0, len(pairs))
	for _, p := range pairs {
		names, ids = append(names, p.Username), append(ids, p.DuoUser)
	}
	rows, err := tx.Query(ctx, `INSERT INTO duo_devices (user_id, stage, name, confirmed, duo_user_id, created)
		SELECT u.id, $1, $2, true, d.duo_user, $3 FROM unnest($4::text[], $5::text[]) AS d(username, duo_user) JOIN users u ON u.username = d.username
		ON CONFLICT ON CONSTRAINT duo_devices_stage_duo_user_id_key DO NOTHING RETURNING id, user_id`, st.id, importedName, s.Now(), names, ids)
	if err != nil {
		return 0, fmt.Errorf("make devices: %w", db.Fault(err))
	}
	type device struct{ ID, User int }
	made, err := pgx.CollectRows(rows, pgx.RowToStructByPos[device])
	if err != nil {
		return 0, fmt.Errorf("make devices: %w", db.Fault(err))
	}
	batch := &pgx.Batch{}
	for _, d := range made {
		e := created(nil, d.ID, importedName) // by the administrator, whom the request names
		e.Owner = d.User
		sql, args, err := s.Events.Statement(ctx, e)
		if err != nil {
			return 0, err
		}
		batch.Queue(sql, args...)
	}
	if batch.Len() > 0 {
		if err := tx.SendBatch(ctx, batch).Close(); err != nil {
			return 0, fmt.Errorf("write events: %w", db.Fault(err))
		}
	}
	return len(made), nil
}

// importAutomatic makes devices for all of Duo's users who are users here by the same name. What was made before a
// failure stays, and another import goes on from there.
func (s *Service) importAutomatic(ctx context.Context, r *api.Request) error {
	st, err := s.stage(ctx, s.Pool, r.Param("stage_uuid"))
	if err != nil {
		return err
	}
	count, err := s.importAll(ctx, st)
	if err == nil {
		return r.JSON(http.StatusOK, ImportResult{Count: count})
	}
	var f *fault.Error
	if errors.As(err, &f) || ctx.Err() != nil { // ours, not Duo's
		return err
	}
	return r.JSON(http.StatusBadRequest, ImportResult{Count: count, Error: err.Error()})
}

var errNoAdmin = errors.New("Stage does not have Admin API configured")

func (s *Service) importAll(ctx context.Context, st *Stage) (count int, err error) {
	call, cancel := context.WithTimeout(ctx, importTimeout)
	defer cancel()
	client, err := s.admin(call, st)
	if err != nil {
		return 0, err
	}
	if client == nil {
		return 0, errNoAdmin
	}
	offset := uint64(0)
	for range importPages {
		got, err := client.GetUsers(admin.Limit(importPage), admin.Offset(offset))
		if got == nil {
			got = &admin.GetUsersResult{}
		}
		if err := outcome(got.StatResult, err); err != nil {
			return count, err
		}
		pairs := make([]pair, 0, len(got.Response))
		for _, u := range got.Response {
			if plain(u.Username) && plain(u.UserID) {
				pairs = append(pairs, pair{u.Username, u.UserID})
			}
		}
		err = db.InTx(call, s.Pool, func(tx pgx.Tx) error {
			n, err := s.add(call, tx, st, pairs)
			count += n
			return err
		})
		if err != nil {
			return count, err
		}
		next, err := got.Metadata.NextOffset.Int64()
		if got.Metadata.NextOffset == "" || err != nil || uint64(next) <= offset || next < 0 {
			return count, nil
		}
		offset = uint64(next)
	}
	return count, fmt.Errorf("duo has more than %d users; the rest were not imported", importPages*importPage)
}

// plain tells a name that can be stored.
func plain(s string) bool { return s != "" && len(s) <= maxText && !strings.ContainsRune(s, 0) }

package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

const maxReply = 1 << 20

// API is a server's API.
type API struct {
	Base  string // the server's URL
	Token string // of an administrator
	HTTP  *http.Client
}

// StatusError is a reply other than success.
type StatusError struct {
	Call   string // method and path
	Status int    // HTTP
	Body   string // at most 200 bytes
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s: status %d: %s", e.Call, e.Status, e.Body)
}

// Call makes one request to a path below /api/v3. body is marshalled as JSON unless nil; a reply of success goes into into, unless
// that is nil. Errors: StatusError, or that the server cannot be reached.
func (a API) Call(ctx context.Context, method, path string, body, into any) error {
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		reader = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(a.Base, "/")+"/api/v3"+path, reader)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+a.Token)
	req.Header.Set("Content-Type", "application/json")
	res, err := a.HTTP.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxReply))
	if err != nil {
		return err
	}
	if res.StatusCode > 299 {
		return &StatusError{method + " " + path, res.StatusCode, fmt.Sprintf("%.200s", bytes.TrimSpace(text))}
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(text, into)
}

// Create makes a user afresh, who logs in by that password: one of the same name, left over from a run before, goes first. It gives
// the user's key, also with an error after the user was made. It is done to its end when ctx ends, lest it leave a user whose key nobody
// knows; a.HTTP limits the time of each call.
func (a API) Create(ctx context.Context, name, password string) (int, error) {
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	ctx = context.WithoutCancel(ctx)
	var made struct {
		PK int `json:"pk"`
	}
	body := map[string]any{"username": name, "name": name, "path": "simulator"}
	err := a.Call(ctx, http.MethodPost, "/core/users/", body, &made)
	var status *StatusError
	if errors.As(err, &status) && status.Status == http.StatusBadRequest {
		var found struct {
			Results []struct {
				PK int `json:"pk"`
			} `json:"results"`
		}
		if lookup := a.Call(ctx, http.MethodGet, "/core/users/?username="+url.QueryEscape(name), nil, &found); lookup != nil || len(found.Results) != 1 {
			return 0, err
		}
		if err := a.Remove(ctx, found.Results[0].PK); err != nil {
			return 0, err
		}
		err = a.Call(ctx, http.MethodPost, "/core/users/", body, &made)
	}
	if err != nil {
		return 0, err
	}
	return made.PK, a.Call(ctx, http.MethodPost, userPath(made.PK)+"set_password/", map[string]string{"password": password}, nil)
}

// Remove deletes a user. It tries twice where the connection dies, as net/http repeats no DELETE.
func (a API) Remove(ctx context.Context, user int) error {
	err := a.Call(ctx, http.MethodDelete, userPath(user), nil, nil)
	var status *StatusError
	if err == nil || errors.As(err, &status) || ctx.Err() != nil {
		return err
	}
	err = a.Call(ctx, http.MethodDelete, userPath(user), nil, nil)
	if errors.As(err, &status) && status.Status == http.StatusNotFound {
		return nil // the first time did it
	}
	return err
}

func userPath(id int) string { return "/core/users/" + strconv.Itoa(id) + "/" }

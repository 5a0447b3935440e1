package web

import (
	"errors"
	"maps"
	"net/http"
	"slices"

	"countersign/core/fault"
)

// setupBodyLimit bounds the first-start form: an e-mail address and two passwords.
const setupBodyLimit = 16 << 10

// SetupForm is what the first administrator typed; the two passwords are equal and not empty.
type SetupForm struct {
	Email    string
	Password string
}

// Setup is the logic behind the first-start page /if/setup/<token>/. Both functions take the token from the request.
// Errors are core/fault ones: NotFound shows a page saying that the link is used up, Invalid goes to the form's
// fields "email" and "password" or above it, any other one gets a page of its status.
type Setup struct {
	// Check says whether the link may still be used.
	Check func(r *http.Request) error
	// Submit does it and returns where to go then: a path on this site.
	Submit func(r *http.Request, f SetupForm) (next string, err error)
}

// setupPage is the form as shown: the errors by field, "" those of the whole.
type setupPage struct {
	Email  string
	Errors map[string]string
}

// SetupPage answers GET and POST of the one-time setup link. The secret token in the path is what protects the POST from
// forgery: who does not know it can neither post nor learn it (no Referer leaves this origin).
func (w *Web) SetupPage(s Setup) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			if err := s.Check(r); err != nil {
				w.setupFailure(rw, r, err)
				return
			}
			w.render(rw, r, http.StatusOK, "setup", "First start", setupPage{})
		case http.MethodPost:
			w.setupSubmit(rw, r, s)
		default:
			rw.Header().Set("Allow", "GET, HEAD, POST")
			w.ErrorPage(rw, r, http.StatusMethodNotAllowed, "Not possible", "This page cannot be used that way.")
		}
	})
}

func (w *Web) setupSubmit(rw http.ResponseWriter, r *http.Request, s Setup) {
	if err := s.Check(r); err != nil {
		w.setupFailure(rw, r, err)
		return
	}
	r.Body = http.MaxBytesReader(rw, r.Body, setupBodyLimit)
	if err := r.ParseForm(); err != nil {
		var tooLarge *http.MaxBytesError
		status := http.StatusBadRequest
		if errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		w.ErrorPage(rw, r, status, "Not understood", "The form could not be read. Go back and send it again.")
		return
	}
	form := SetupForm{Email: r.PostForm.Get("email"), Password: r.PostForm.Get("password")}
	page := setupPage{Email: form.Email, Errors: map[string]string{}}
	switch {
	case form.Password == "":
		page.Errors["password"] = "Choose a password."
	case form.Password != r.PostForm.Get("password_repeat"):
		page.Errors["password_repeat"] = "The two passwords are not the same."
	}
	if len(page.Errors) > 0 {
		w.render(rw, r, http.StatusBadRequest, "setup", "First start", page)
		return
	}
	next, err := s.Submit(r, form)
	if fault.Is(err, fault.Invalid) {
		f := fault.As(err)
		for _, field := range slices.Sorted(maps.Keys(f.Fields)) {
			shown := field
			if field != "email" && field != "password" {
				shown = ""
			}
			for _, v := range f.Fields[field] {
				page.Errors[shown] = joinText(page.Errors[shown], v.Text)
			}
		}
		if len(f.Fields) == 0 {
			page.Errors[""] = f.Detail
		}
		w.render(rw, r, http.StatusBadRequest, "setup", "First start", page)
		return
	}
	if err != nil {
		w.setupFailure(rw, r, err)
		return
	}
	http.Redirect(rw, r, next, http.StatusSeeOther)
}

func (w *Web) setupFailure(rw http.ResponseWriter, r *http.Request, err error) {
	f := fault.As(err)
	if f.Kind == fault.NotFound {
		w.ErrorPage(rw, r, f.Status(), "This link is used up",
			"A setup link works once and for a short time. Start the server again to have a new one printed.")
		return
	}
	if f.Kind == fault.Internal {
		w.log.ErrorContext(r.Context(), "first-start page", "error", err)
	}
	w.ErrorPage(rw, r, f.Status(), "That did not work", f.Detail)
}

func joinText(a, b string) string {
	if a == "" {
		return b
	}
	return a + " " + b
}

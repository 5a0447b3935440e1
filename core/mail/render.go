package mail

import (
	"bytes"
	"embed"
	"fmt"
	htmltemplate "html/template"
	"strings"
	texttemplate "text/template"
)

//go:embed template
var files embed.FS

// page is what the templates see.
type page struct {
	Facts
	Title    string // how people know the server
	Username string
	Browser  string
	Link     string // to the account; "" is none
	ToOld    bool   // this mail goes to the address before the change
	ToAdmin  bool   // this mail goes to an administrator, about the user
	More     int    // changes in the same hour of which no mail tells
}

// The templates are read once. A kind's file has the parts subject, what and advice, in plain text, which both forms share.
var (
	texts = texttemplate.Must(texttemplate.ParseFS(files, "template/layout.txt"))
	htmls = htmltemplate.Must(htmltemplate.ParseFS(files, "template/layout.html"))
)

// render writes a mail. Errors: an unknown kind, from a newer program.
func render(kind Kind, p page) (subject, text, html string, err error) {
	source, err := files.ReadFile("template/" + string(kind) + ".tmpl")
	if err != nil {
		return "", "", "", fmt.Errorf("write mail %q: %w", kind, err)
	}
	t, err := texttemplate.Must(texts.Clone()).Parse(string(source))
	if err != nil {
		return "", "", "", fmt.Errorf("write mail %s: %w", kind, err)
	}
	h, err := htmltemplate.Must(htmls.Clone()).Parse(string(source))
	if err != nil {
		return "", "", "", fmt.Errorf("write mail %s: %w", kind, err)
	}
	var s, plain, rich bytes.Buffer
	for _, err := range []error{t.ExecuteTemplate(&s, "subject", p), t.ExecuteTemplate(&plain, "layout.txt", p), h.ExecuteTemplate(&rich, "layout.html", p)} {
		if err != nil {
			return "", "", "", fmt.Errorf("write mail %s: %w", kind, err)
		}
	}
	return clean(s.String(), maxSubject), strings.TrimSpace(plain.String()) + "\n", rich.String(), nil
}

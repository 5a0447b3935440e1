package api

import (
	"net/http"
	"net/netip"
	"net/url"
	"strconv"

	"github.com/gin-gonic/gin"

	"countersign/core/api/schema"
	"countersign/core/event"
	"countersign/core/fault"
	"countersign/core/rbac"
)

// Request is one call of an operation.
type Request struct {
	HTTP   *http.Request
	Writer http.ResponseWriter // for headers and cookies; the body too in Raw
	Actor  *rbac.Actor         // nil: nobody is authenticated

	api    *API
	route  *route
	id     string
	client client
	origin *event.Origin
	params gin.Params
	query  url.Values
	raw    []byte // the body, once it was read
	read   bool
}

// Param is the value of a path parameter, "" when the path has none of that name.
func (r *Request) Param(name string) string {
	for i, n := range r.route.params {
		if n == name && i < len(r.params) {
			return r.params[i].Value
		}
	}
	return ""
}

// Query are the parsed query parameters.
func (r *Request) Query() url.Values {
	if r.query == nil {
		r.query = r.HTTP.URL.Query()
	}
	return r.query
}

// Bool reads a boolean query parameter: true and false in any of Django's spellings; anything else is fallback.
func (r *Request) Bool(name string, fallback bool) bool {
	if v, ok := schema.ParseBool(r.Query().Get(name)); ok {
		return v
	}
	return fallback
}

// Int reads an integer query parameter; ok is false when it is absent or empty. Errors: Invalid about the parameter.
func (r *Request) Int(name string) (value int, ok bool, err error) {
	s := r.Query().Get(name)
	if s == "" {
		return 0, false, nil
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		return 0, false, fault.Field(name, "invalid", "Enter a number.")
	}
	return int(n), true, nil
}

// ID is the request id, 32 hex digits, as in the response's X-authentik-id and in the log.
func (r *Request) ID() string { return r.id }

// IP is the client's address, seen through the trusted proxies; the zero Addr when the peer is no IP address.
func (r *Request) IP() netip.Addr { return r.client.ip }

// Secure tells whether the client speaks TLS, to us or to a trusted proxy.
func (r *Request) Secure() bool { return r.client.scheme == "https" }

// Host is the host, with its port if it has one, that the client asked for, seen through the trusted proxies.
func (r *Request) Host() string { return r.client.host }

// BaseURL is "scheme://host/" as the client sees it.
func (r *Request) BaseURL() string { return r.client.scheme + "://" + r.client.host + "/" }

package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"countersign/core/api/schema"
	"countersign/core/event"
)

// Prefix is where the operations' paths begin.
const Prefix = "/api/v3"

// Options are what an API is made of.
type Options struct {
	Log            *slog.Logger          // default: discards
	Metrics        prometheus.Registerer // default: none are kept
	Authenticators []Authenticator       // asked in order; the first that knows the request decides
	Schemes        []Scheme              // security schemes of the document; default: authentik, a bearer token
	// Brand names the brand of a host for the audit events of a request; default: none. It must not fail nor take long.
	Brand          func(ctx context.Context, host string) *event.Ref
	TrustedProxies []netip.Prefix // whose X-Forwarded-For, -Proto and -Host are believed
	// Hosts are the names under which the API answers, with a port for that port alone; none: every name. Paths below /-/, which
	// are for probes, are answered always.
	Hosts       []string
	BodyLimit   int64            // bytes of a request body; default 1 MiB
	ReadTimeout time.Duration    // for a whole request body; default 15 s
	Title       string           // of the document; default "Countersign"
	Version     string           // of the document; default "0"
	Now         func() time.Time // default time.Now
	Random      io.Reader        // default crypto/rand
}

// Scheme is a security scheme of the document: a bearer token in the Authorization header.
type Scheme struct {
	Name        string
	Description string
}

// API is the HTTP face. Declare operations first, then serve Handler; it is not safe to add operations while serving.
type API struct {
	o        Options
	engine   *gin.Engine
	schemas  *schema.Set
	routes   []*route
	ids      map[string]string // operation id → method and path
	metrics  *metrics
	document document
}

// New makes an API without operations.
func New(o Options) *API {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if len(o.Schemes) == 0 {
		o.Schemes = []Scheme{{Name: "authentik"}}
	}
	o.BodyLimit = cmp.Or(o.BodyLimit, 1<<20)
	o.ReadTimeout = cmp.Or(o.ReadTimeout, 15*time.Second)
	o.Title, o.Version = cmp.Or(o.Title, "Countersign"), cmp.Or(o.Version, "0")

	gin.SetMode(gin.ReleaseMode)
	a := &API{o: o, engine: gin.New(), schemas: schema.NewSet(), ids: map[string]string{}, metrics: newMetrics(o.Metrics)}
	a.engine.RedirectTrailingSlash = false
	a.engine.HandleMethodNotAllowed = true
	a.engine.ForwardedByClientIP = false // Request.IP does it, for configured proxies only
	a.engine.UseRawPath = true           // an escaped slash stays inside its segment
	a.engine.UnescapePathValues = true
	a.engine.NoRoute(a.serve(&route{id: "not_found", op: Operation{Access: Open}}, notFound))
	a.engine.NoMethod(a.serve(&route{id: "method_not_allowed", op: Operation{Access: Open}}, methodNotAllowed))
	a.addSchema()
	a.addBrowser()
	return a
}

// Schemas are the compiled structs and the components of the document; core/resource adds its own.
func (a *API) Schemas() *schema.Set { return a.schemas }

// Handler completes the document, checks it (OpenAPI 3.0.3) and gives the handler to serve. Errors: the document's.
func (a *API) Handler() (http.Handler, error) {
	if err := a.buildDocument(); err != nil {
		return nil, fmt.Errorf("build the OpenAPI document: %w", err)
	}
	return a.engine, nil
}

// Document is the OpenAPI document as JSON; it is there once Handler was called.
func (a *API) Document() []byte { return a.document.json }

// route is one declared operation or page.
type route struct {
	op     Operation
	id     string   // label of metrics and log
	params []string // names of the path's parameters, by position
	page   string   // pattern of a page; "" for an operation
}

// add declares an operation.
func (a *API) add(op Operation, fn func(ctx context.Context, r *Request) error) {
	if err := a.declare(op, fn); err != nil {
		panic(fmt.Sprintf("api: operation %s %s: %v", op.Method, op.Path, err))
	}
}

func (a *API) declare(op Operation, fn func(ctx context.Context, r *Request) error) error {
	switch op.Method {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
	default:
		return fmt.Errorf("method %q: one of GET, POST, PUT, PATCH, DELETE", op.Method)
	}
	if !strings.HasPrefix(op.Path, "/") || !strings.HasSuffix(op.Path, "/") {
		return fmt.Errorf("the path needs a slash at both ends")
	}
	if op.Permission != "" && !strings.Contains(op.Permission, ".") {
		return fmt.Errorf("permission %q: write app_label.codename", op.Permission)
	}
	for _, t := range []schemaOf{{op.request, op.requestSide()}, {op.response, schema.Response}} {
		if t.of == nil || t.of == unionType {
			continue
		}
		if _, err := a.schemas.Ref(t.of, t.side); err != nil {
			return err
		}
	}
	if op.ID == "" {
		op.ID = defaultID(op)
	}
	op.Tag = cmp.Or(op.Tag, strings.SplitN(strings.Trim(op.Path, "/"), "/", 2)[0])
	if other := a.ids[op.ID]; other != "" {
		return fmt.Errorf("the operation id %s is taken by %s; set ID", op.ID, other)
	}
	a.ids[op.ID] = op.Method + " " + op.Path
	rt := &route{op: op, id: op.ID}
	pattern := Prefix + rt.position(op.Path)
	a.routes = append(a.routes, rt)
	a.handle(op.Method, pattern, rt, fn)
	return nil
}

// handle routes a method and, for GET, HEAD beside it. gin panics on a route that is there already.
func (a *API) handle(method, pattern string, rt *route, fn func(ctx context.Context, r *Request) error) {
	a.engine.Handle(method, pattern, a.serve(rt, fn))
	if method == http.MethodGet {
		a.engine.Handle(http.MethodHead, pattern, a.serve(rt, fn))
	}
}

// position writes {name} as :p1, :p2 …, since gin wants one name for all parameters at a place, and keeps the names.
func (rt *route) position(path string) string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		name, ok := strings.CutPrefix(s, "{")
		if !ok {
			name, ok = strings.CutPrefix(s, ":")
		}
		if ok {
			rt.params = append(rt.params, strings.TrimSuffix(name, "}"))
			segments[i] = fmt.Sprintf(":p%d", len(rt.params))
		}
		if name, ok := strings.CutPrefix(s, "*"); ok {
			rt.params = append(rt.params, name)
			segments[i] = fmt.Sprintf("*p%d", len(rt.params))
		}
	}
	return strings.Join(segments, "/")
}

// Page adds a route outside the API: a page, a file, a health check. path is as in gin, "/if/flow/:slug/" or
// "/static/*file"; Request.Param reads it, a star's value with its leading slash. It is in no document, and goes through
// everything else, with access as for an operation. name is its label in metrics and log.
func (a *API) Page(method, path, name string, access Access, fn func(ctx context.Context, r *Request) error) {
	rt := &route{op: Operation{Method: method, Path: path, Access: access}, id: name, page: path}
	a.handle(method, rt.position(path), rt, fn)
}

// OperationID is the contract's way to name an operation: the path's fixed segments and the verb, joined by _.
func OperationID(path, verb string) string {
	var parts []string
	for s := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if !strings.HasPrefix(s, "{") {
			parts = append(parts, strings.ReplaceAll(s, "-", "_"))
		}
	}
	return strings.Join(append(parts, verb), "_")
}

func defaultID(op Operation) string {
	verb := map[string]string{
		http.MethodGet: "retrieve", http.MethodPost: "create", http.MethodPut: "update",
		http.MethodPatch: "partial_update", http.MethodDelete: "destroy",
	}[op.Method]
	if op.Method == http.MethodGet && op.response != nil && isList(op.response) {
		verb = "list"
	}
	return OperationID(op.Path, verb)
}

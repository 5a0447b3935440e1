package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"gopkg.in/yaml.v3"

	"countersign/core/api/schema"
)

// document is the OpenAPI document in both of its forms.
type document struct {
	json, yaml []byte
	routes     int // that it was built from
}

type schemaOf struct {
	of   reflect.Type
	side schema.Side
}

var unionType = reflect.TypeFor[Union]()

func isList(t reflect.Type) bool { return t.Kind() == reflect.Slice }

// requestSide is the schema of a request body: PATCH requires nothing.
func (op *Operation) requestSide() schema.Side {
	if op.Method == http.MethodPatch {
		return schema.Patched
	}
	return schema.Request
}

// validationError and genericError are how errors look (core.md §7.4).
type validationError struct{}

type genericError struct {
	Detail string `json:"detail" api:"required"`
	Code   string `json:"code"`
}

func (genericError) SchemaName() string { return "GenericError" }
func (genericError) SchemaDoc() string  { return "Generic API Error" }

func (validationError) schema() *openapi3.Schema {
	list := openapi3.NewArraySchema().WithItems(openapi3.NewStringSchema())
	return &openapi3.Schema{
		Type: &openapi3.Types{"object"}, Description: "Validation Error",
		Properties: openapi3.Schemas{
			"non_field_errors": {Value: list}, "code": {Value: openapi3.NewStringSchema()},
		},
		AdditionalProperties: openapi3.AdditionalProperties{Schema: &openapi3.SchemaRef{Value: &openapi3.Schema{}}},
	}
}

// buildDocument makes the document, in an order that depends on the operations only, and checks it.
func (a *API) buildDocument() error {
	if a.document.routes == len(a.routes) && a.document.json != nil {
		return nil
	}
	doc := &openapi3.T{
		OpenAPI: "3.0.3",
		Info:    &openapi3.Info{Title: a.o.Title, Version: a.o.Version, Description: "The HTTP interface of " + a.o.Title + "."},
		Servers: openapi3.Servers{{URL: Prefix + "/"}},
		Paths:   openapi3.NewPaths(),
	}
	genericRef, err := a.schemas.Ref(reflect.TypeFor[genericError](), schema.Response)
	if err != nil {
		return err
	}
	errors := map[string]*openapi3.SchemaRef{"400": {Ref: "#/components/schemas/ValidationError"}, "403": genericRef, "404": genericRef}
	paths := map[string]*openapi3.PathItem{}
	for _, rt := range a.routes {
		op, err := a.describe(rt, errors)
		if err != nil {
			return fmt.Errorf("%s: %w", rt.id, err)
		}
		if paths[rt.op.Path] == nil {
			paths[rt.op.Path] = &openapi3.PathItem{}
		}
		paths[rt.op.Path].SetOperation(rt.op.Method, op)
	}
	names := make([]string, 0, len(paths))
	for p := range paths {
		names = append(names, p)
	}
	slices.Sort(names)
	for _, p := range names {
		doc.Paths.Set(p, paths[p])
	}
	components := a.schemas.Components()
	components["ValidationError"] = &openapi3.SchemaRef{Value: validationError{}.schema()}
	doc.Components = &openapi3.Components{Schemas: components, SecuritySchemes: openapi3.SecuritySchemes{}}
	for _, s := range a.o.Schemes {
		doc.Components.SecuritySchemes[s.Name] = &openapi3.SecuritySchemeRef{Value: &openapi3.SecurityScheme{
			Type: "http", Scheme: "bearer", Description: s.Description,
		}}
	}
	return a.publish(doc)
}

// publish writes both forms, and checks the JSON as a client would read it.
func (a *API) publish(doc *openapi3.T) error {
	raw, err := doc.MarshalJSON()
	if err != nil {
		return err
	}
	loaded, err := openapi3.NewLoader().LoadFromData(raw)
	if err != nil {
		return fmt.Errorf("resolve references: %w", err)
	}
	// The patterns are Django's for the client to see; Go's regexp need not know all of them.
	if err := loaded.Validate(context.Background(), openapi3.DisableSchemaPatternValidation(), openapi3.DisableExamplesValidation()); err != nil {
		return fmt.Errorf("check: %w", err)
	}
	var plain any
	if err := json.Unmarshal(raw, &plain); err != nil {
		return err
	}
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(plain); err != nil {
		return err
	}
	a.document = document{json: raw, yaml: out.Bytes(), routes: len(a.routes)}
	return nil
}

// describe is one operation of the document.
func (a *API) describe(rt *route, errors map[string]*openapi3.SchemaRef) (*openapi3.Operation, error) {
	op := rt.op
	out := &openapi3.Operation{
		OperationID: op.ID, Description: op.Description, Tags: []string{op.Tag}, Responses: openapi3.NewResponses(),
		Security: &openapi3.SecurityRequirements{},
	}
	out.Responses.Delete("default")
	schemes := op.Security
	if len(schemes) == 0 {
		schemes = []string{a.o.Schemes[0].Name}
	}
	for _, s := range schemes {
		*out.Security = append(*out.Security, openapi3.SecurityRequirement{s: {}})
	}
	if op.Access == Anonymous || op.Access == Open && len(op.Security) == 0 {
		*out.Security = append(*out.Security, openapi3.SecurityRequirement{})
	}
	params := append([]Parameter(nil), op.Query...)
	slices.SortStableFunc(params, func(x, y Parameter) int { return strings.Compare(x.Name, y.Name) })
	for _, name := range rt.params {
		out.Parameters = append(out.Parameters, &openapi3.ParameterRef{Value: op.pathParameter(name)})
	}
	for _, p := range params {
		out.Parameters = append(out.Parameters, &openapi3.ParameterRef{Value: p.parameter("query")})
	}
	if op.request != nil {
		ref, err := a.bodySchema(op.request, op.Request, op.requestSide())
		if err != nil {
			return nil, err
		}
		out.RequestBody = &openapi3.RequestBodyRef{Value: &openapi3.RequestBody{
			Required: op.Method != http.MethodPatch, Content: openapi3.NewContentWithJSONSchemaRef(ref),
		}}
	}
	success := &openapi3.Response{Description: new(string)}
	if op.response != nil {
		ref, err := a.bodySchema(op.response, op.Response, schema.Response)
		if err != nil {
			return nil, err
		}
		success.Content = openapi3.NewContentWithJSONSchemaRef(ref)
	} else {
		*success.Description = "No response body"
	}
	out.Responses.Set(strconv.Itoa(op.status()), &openapi3.ResponseRef{Value: success})
	for _, status := range []string{"400", "403", "404"} {
		if status == "404" && !op.NotFound {
			continue
		}
		out.Responses.Set(status, &openapi3.ResponseRef{Value: &openapi3.Response{
			Description: new(string), Content: openapi3.NewContentWithJSONSchemaRef(errors[status]),
		}})
	}
	return out, nil
}

func (a *API) bodySchema(t reflect.Type, example any, side schema.Side) (*openapi3.SchemaRef, error) {
	if t == unionType {
		return a.schemas.UnionRef(example.(Union), side)
	}
	return a.schemas.Ref(t, side)
}

// status is the one of success.
func (op *Operation) status() int {
	switch {
	case op.Status != 0:
		return op.Status
	case op.response == nil:
		return http.StatusNoContent
	}
	return http.StatusOK
}

// pathParameter documents a parameter of the path: as declared, else as a string.
func (op *Operation) pathParameter(name string) *openapi3.Parameter {
	p := Parameter{Name: name}
	for _, declared := range op.Params {
		if declared.Name == name {
			p = declared
		}
	}
	p.Required = true
	return p.parameter("path")
}

func (p Parameter) parameter(in string) *openapi3.Parameter {
	kind := p.Type
	if kind == "" {
		kind = "string"
	}
	s := &openapi3.Schema{Type: &openapi3.Types{kind}, Format: p.Format, Default: p.Default}
	for _, v := range p.Enum {
		s.Enum = append(s.Enum, v)
	}
	out := &openapi3.Parameter{Name: p.Name, In: in, Required: p.Required, Description: p.Description}
	if p.List {
		explode := true
		s = openapi3.NewArraySchema().WithItems(s)
		out.Explode, out.Style = &explode, "form"
	}
	out.Schema = &openapi3.SchemaRef{Value: s}
	return out
}

// addSchema serves the document.
func (a *API) addSchema() {
	a.Raw(Operation{
		Method: http.MethodGet, Path: "/schema/", Access: Anonymous, Tag: "schema", Response: map[string]any{},
		Description: "The OpenAPI document of this interface, as YAML, or as JSON where that is asked for.",
		Query:       []Parameter{{Name: "format", Enum: []string{"json", "yaml"}}},
	}, func(_ context.Context, r *Request) error {
		format := r.Query().Get("format")
		if format == "" && strings.Contains(r.HTTP.Header.Get("Accept"), "json") && !strings.Contains(r.HTTP.Header.Get("Accept"), "yaml") {
			format = "json"
		}
		if format == "json" {
			r.bytes(http.StatusOK, "application/json", a.document.json)
			return nil
		}
		r.bytes(http.StatusOK, "application/vnd.oai.openapi; charset=utf-8", a.document.yaml)
		return nil
	})
}

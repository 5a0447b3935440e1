package transport

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
)

// Memory is an http.RoundTripper straight into a handler: no socket is between, so that a virtual clock can know who waits.
type Memory struct{ Handler http.Handler }

// RoundTrip lets the handler answer; the request's context is the handler's. A handler that aborts breaks the connection.
func (m Memory) RoundTrip(req *http.Request) (res *http.Response, err error) {
	if req.Body == nil {
		req.Body = http.NoBody
	}
	defer req.Body.Close()
	reply := &reply{header: http.Header{}}
	inner := req.Clone(req.Context())
	inner.RequestURI, inner.RemoteAddr = req.URL.RequestURI(), "127.0.0.1:1"
	if !serves(m.Handler, reply, inner) {
		return nil, io.ErrUnexpectedEOF
	}
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	reply.WriteHeader(http.StatusOK) // what a handler means that writes nothing
	return &http.Response{
		Status: fmt.Sprint(reply.status, " ", http.StatusText(reply.status)), StatusCode: reply.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: reply.header, Body: io.NopCloser(&reply.body), ContentLength: int64(reply.body.Len()), Request: req,
	}, nil
}

// serves is false where the handler aborts; what else it panics with goes on.
func serves(h http.Handler, w http.ResponseWriter, r *http.Request) (whole bool) {
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler { //nolint:errorlint // the very value, as net/http has it
			panic(p)
		}
	}()
	h.ServeHTTP(w, r)
	return true
}

// reply is what a handler answers.
type reply struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header is the reply's.
func (r *reply) Header() http.Header { return r.header }

// WriteHeader takes the first status.
func (r *reply) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

// Write takes the body.
func (r *reply) Write(text []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(text)
}

package session_test

import (
	"testing"
	"time"

	"countersign/core/dbtest"
	"countersign/core/session"
	"countersign/core/user/usertest"
)

// One request's session: check of the cookie, one query.
func BenchmarkLoad(b *testing.B) {
	users := usertest.Store(b, dbtest.Pool(b), time.Now)
	s := &session.Store{
		Pool: users.Pool, Users: users, Events: users.Events, Key: []byte("0123456789abcdef0123456789abcdef"), Now: time.Now, Log: users.Log,
	}
	ctx := from("192.0.2.1", "https")
	_, cookie, err := s.Start(ctx, with(nil))
	if err != nil {
		b.Fatal(err)
	}
	r := with(cookie)
	b.ReportAllocs()
	for b.Loop() {
		if sess, err := s.Load(ctx, r); err != nil || sess == nil {
			b.Fatal(sess, err)
		}
	}
}

package fcm_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	firebase "firebase.google.com/go/v4"
	"firebase.google.com/go/v4/errorutils"
	"firebase.google.com/go/v4/messaging"
	"google.golang.org/api/option"

	"countersign/simulator/clock"
	"countersign/simulator/fcm"
)

// start is when the virtual clocks of these tests begin: now, because the SDK signs its assertions
// by the machine's clock.
func start() time.Time { return time.Now() }

type bundle struct {
	double *fcm.Double
	clock  *clock.Virtual
	sdk    *messaging.Client
	url    string
	ctx    context.Context
}

// setup runs a double and the official SDK against it, with nothing changed but the two URLs.
func setup(t *testing.T, o fcm.Options) bundle {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	v := clock.NewVirtual(start())
	o.Clock = v
	d, err := fcm.New(o)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(d)
	t.Cleanup(func() { d.Close(); srv.CloseClientConnections(); srv.Close() })
	credentials, err := d.ServiceAccount(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	app, err := firebase.NewApp(ctx, nil, option.WithCredentialsJSON(credentials), option.WithEndpoint(srv.URL+"/v1"))
	if err != nil {
		t.Fatal(err)
	}
	sdk, err := app.Messaging(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return bundle{d, v, sdk, srv.URL, ctx}
}

const address = "phone-0001:abcdefgh"

func message() *messaging.Message {
	ttl := time.Minute
	return &messaging.Message{
		Token: address,
		Data:  map[string]string{"v": "1", "kind": "wake"},
		Android: &messaging.AndroidConfig{
			Priority: "high", TTL: &ttl, CollapseKey: "login",
			Notification: &messaging.AndroidNotification{Title: "Log in?"},
		},
	}
}

func TestSDKSends(t *testing.T) {
	t.Parallel()
	b := setup(t, fcm.Options{})
	phone, err := b.double.Subscribe(b.ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	name, err := b.sdk.Send(b.ctx, message())
	if err != nil {
		t.Fatal(err)
	}
	got := <-phone
	if want := "projects/countersign-demo/messages/" + got.ID; name != want {
		t.Errorf("name = %q, want %q", name, want)
	}
	if got.Data["kind"] != "wake" || got.Title != "Log in?" || !got.High || got.CollapseKey != "login" {
		t.Errorf("delivered %+v", got)
	}
	if life := got.Expires.Sub(got.Sent); life != time.Minute {
		t.Errorf("time to live %s", life)
	}
	records := b.double.History(fcm.Filter{Address: address})
	if len(records) != 1 || records[0].Delivery != fcm.Delivered || records[0].Status != 200 {
		t.Fatalf("history %+v", records)
	}
	if mark := records[0].Headers["X-Firebase-Client"]; !strings.HasPrefix(mark, "fire-admin-go/") {
		t.Errorf("SDK mark %q", mark)
	}

	if _, err := b.sdk.SendDryRun(b.ctx, message()); err != nil {
		t.Fatal(err)
	}
	if records := b.double.History(fcm.Filter{After: 1}); len(records) != 1 || records[0].Delivery != fcm.Validated {
		t.Errorf("dry run: %+v", records)
	}
}

func TestSDKSeesEachError(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		code     fcm.Code
		status   int
		is       func(error) bool
		attempts int // the SDK tries again on its own
	}{
		{fcm.Unregistered, 404, messaging.IsUnregistered, 1},
		{fcm.InvalidArgument, 400, messaging.IsInvalidArgument, 1},
		{fcm.InvalidField, 400, errorutils.IsInvalidArgument, 1},
		{fcm.SenderIDMismatch, 403, messaging.IsSenderIDMismatch, 1},
		{fcm.QuotaExceeded, 429, messaging.IsQuotaExceeded, 1},
		{fcm.Internal, 500, messaging.IsInternal, 1},
		{fcm.ThirdPartyAuthError, 401, messaging.IsThirdPartyAuthError, 1},
		{fcm.Unauthenticated, 401, errorutils.IsUnauthenticated, 1},
		{fcm.PermissionDenied, 403, errorutils.IsPermissionDenied, 1},
	} {
		t.Run(string(c.code), func(t *testing.T) {
			t.Parallel()
			b := setup(t, fcm.Options{})
			err := b.double.SetScript(address, fcm.Script{Repeat: true, Steps: []fcm.Step{{Error: c.code, RetryAfter: fcm.Duration(7 * time.Second)}}})
			if err != nil {
				t.Fatal(err)
			}
			_, err = b.sdk.Send(b.ctx, message())
			if err == nil || !c.is(err) {
				t.Fatalf("error %v is not what the SDK calls %s", err, c.code)
			}
			res := errorutils.HTTPResponse(err)
			if res.StatusCode != c.status {
				t.Errorf("status %d, want %d", res.StatusCode, c.status)
			}
			if after := res.Header.Get("Retry-After"); after != "7" {
				t.Errorf("Retry-After %q", after)
			}
			if n := len(b.double.History(fcm.Filter{})); n != c.attempts {
				t.Errorf("%d attempts, want %d", n, c.attempts)
			}
			if bare := c.code == fcm.Unauthenticated; bare && messaging.IsThirdPartyAuthError(err) {
				t.Error("a bad bearer token passes for broken APNs credentials")
			}
		})
	}
}

// UNAVAILABLE has a test of its own: the SDK repeats it by itself, the first time at once.
func TestSDKRepeatsUnavailable(t *testing.T) {
	t.Parallel()
	b := setup(t, fcm.Options{})
	if err := b.double.SetScript(address, fcm.Script{Steps: []fcm.Step{{Error: fcm.Unavailable}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.sdk.Send(b.ctx, message()); err != nil {
		t.Fatalf("the second attempt succeeds: %v", err)
	}
	records := b.double.History(fcm.Filter{})
	if len(records) != 2 || records[0].Error != fcm.Unavailable || records[0].Status != http.StatusServiceUnavailable || records[1].Error != "" {
		t.Errorf("history %+v", records)
	}

	if err := b.double.SetConditions(fcm.Conditions{Outages: []fcm.Outage{{RetryAfter: fcm.Duration(time.Hour)}}}); err != nil {
		t.Fatal(err)
	}
	// A Retry-After beyond the SDK's two minutes makes it give up at once.
	if _, err := b.sdk.Send(b.ctx, message()); !messaging.IsUnavailable(err) {
		t.Errorf("outage: %v", err)
	}
}

func TestSDKSeesRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t, fcm.Options{})
	if _, err := b.sdk.Send(b.ctx, message()); !messaging.IsUnregistered(err) {
		t.Errorf("unknown address: %v", err)
	}
	m := message()
	m.Token = "not a token"
	if _, err := b.sdk.Send(b.ctx, m); !messaging.IsInvalidArgument(err) {
		t.Errorf("malformed address: %v", err)
	}
	m = message()
	m.Data = map[string]string{"from": "me"}
	if _, err := b.sdk.Send(b.ctx, m); !errorutils.IsInvalidArgument(err) || messaging.IsInvalidArgument(err) {
		t.Errorf("reserved key gives a BadRequest detail, without FcmError: %v", err)
	}
	m = message()
	m.Data = map[string]string{"a": strings.Repeat("x", 4096)}
	if _, err := b.sdk.Send(b.ctx, m); !messaging.IsInvalidArgument(err) {
		t.Errorf("too large: %v", err)
	}
}

func TestBearerTokenExpires(t *testing.T) {
	t.Parallel()
	b := setup(t, fcm.Options{})
	if _, err := b.double.Register(b.ctx, address); err != nil {
		t.Fatal(err)
	}
	if _, err := b.sdk.Send(b.ctx, message()); err != nil {
		t.Fatal(err)
	}
	// The SDK still trusts the token that it holds; only the service's clock has moved.
	b.clock.Advance(time.Hour)
	if _, err := b.sdk.Send(b.ctx, message()); !errorutils.IsUnauthenticated(err) || messaging.IsThirdPartyAuthError(err) {
		t.Fatalf("expired token: %v", err)
	}
}

// A token life below the margin at which the SDK renews makes it renew at every send.
func TestSDKRenewsExpiredToken(t *testing.T) {
	t.Parallel()
	b := setup(t, fcm.Options{TokenLife: time.Second})
	if _, err := b.double.Register(b.ctx, address); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if _, err := b.sdk.Send(b.ctx, message()); err != nil {
			t.Fatalf("send %d: %v", i, err)
		}
		b.double.RevokeTokens()
	}
}

func TestQuota(t *testing.T) {
	t.Parallel()
	b := setup(t, fcm.Options{})
	if _, err := b.double.Register(b.ctx, address); err != nil {
		t.Fatal(err)
	}
	quota := &fcm.Quota{Messages: 2, Per: fcm.Duration(time.Minute)}
	if err := b.double.SetConditions(fcm.Conditions{Quota: quota}); err != nil {
		t.Fatal(err)
	}
	send := func() error { _, err := b.sdk.Send(b.ctx, message()); return err }
	for range 2 {
		if err := send(); err != nil {
			t.Fatal(err)
		}
	}
	b.clock.Advance(18 * time.Second)
	err := send()
	if !messaging.IsQuotaExceeded(err) {
		t.Fatalf("third message of the minute: %v", err)
	}
	if after := errorutils.HTTPResponse(err).Header.Get("Retry-After"); after != strconv.Itoa(42) {
		t.Errorf("Retry-After %s, want 42", after)
	}
	b.clock.Advance(42 * time.Second)
	if err := send(); err != nil {
		t.Errorf("after the refill: %v", err)
	}
}

package fcm_test

import (
	"encoding/pem"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	firebase "firebase.google.com/go/v4"
	"google.golang.org/api/option"

	"countersign/simulator/fcm"
)

// The variables by which TestSDKOverTLS tells its other half where to send.
const (
	childEndpoint    = "FCM_TEST_ENDPOINT"
	childCredentials = "FCM_TEST_CREDENTIALS"
)

// G1: the official SDK, unmodified, in a process that trusts the double's certificate as it would trust a company's, fetches its token and
// sends, by HTTP/2 over TLS.
func TestSDKOverTLS(t *testing.T) {
	t.Parallel()
	d, err := fcm.New(fcm.Options{AcceptAny: true})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(d)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(func() { d.Close(); srv.Close() })
	dir := t.TempDir()
	trusted, account := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "account.json")
	credentials, err := d.ServiceAccount(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{trusted: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), account: credentials} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSDKOverTLSChild$", "-test.count=1")
	child.Env = append(os.Environ(), "SSL_CERT_FILE="+trusted, childEndpoint+"="+srv.URL+"/v1", childCredentials+"="+account)
	if out, err := child.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	records := d.History(fcm.Filter{})
	if len(records) != 1 || records[0].Status != 200 || records[0].Protocol != "HTTP/2.0" {
		t.Errorf("%+v", records)
	}
}

// TestSDKOverTLSChild is the other half.
func TestSDKOverTLSChild(t *testing.T) {
	endpoint := os.Getenv(childEndpoint)
	if endpoint == "" {
		t.Skip("it runs in the process that TestSDKOverTLS starts")
	}
	app, err := firebase.NewApp(t.Context(), nil, option.WithCredentialsFile(os.Getenv(childCredentials)), option.WithEndpoint(endpoint))
	if err != nil {
		t.Fatal(err)
	}
	sdk, err := app.Messaging(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sdk.Send(t.Context(), message()); err != nil {
		t.Fatal(err)
	}
}

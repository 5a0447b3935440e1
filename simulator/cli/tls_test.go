package cli_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// G1: a double serves HTTP/2 over TLS, by a certificate that whoever is told of it trusts.
func TestDoublesServeTLS(t *testing.T) {
	t.Parallel()
	for _, double := range []string{"fcm", "webpush", "unifiedpush", "apns"} {
		t.Run(double, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file := filepath.Join(dir, "certificate.pem")
			args := []string{double, "--listen", "127.0.0.1:0", "--tls", file}
			if double == "apns" {
				args = append(args, "--key", filepath.Join(dir, "key.p8"))
			}
			base := started(t, args...)
			text, err := os.ReadFile(file)
			roots := x509.NewCertPool()
			if err != nil || !roots.AppendCertsFromPEM(text) {
				t.Fatalf("%s: %v", text, err)
			}
			client := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
			defer client.CloseIdleConnections()
			res, err := client.Get(base + "/-/")
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != http.StatusOK || res.Proto != "HTTP/2.0" {
				t.Errorf("%s %s", res.Proto, res.Status)
			}
			if _, err := http.Get(base + "/-/"); err == nil {
				t.Error("whoever was not told trusts it, too")
			}
		})
	}
}

package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"countersign/core/secret"
)

func listen(ctx context.Context, address string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return l, nil
}

// serverSocket takes the wanted address, or by default the usual port, or any other when that is taken.
func serverSocket(ctx context.Context, wanted string) (net.Listener, error) {
	if wanted != "" {
		return listen(ctx, wanted)
	}
	if l, err := listen(ctx, "127.0.0.1:9000"); err == nil {
		return l, nil
	}
	return listen(ctx, "127.0.0.1:0")
}

// password makes a password that is easy to type.
func password() string {
	t := strings.ToLower(secret.Token(12))
	return t[:4] + "-" + t[4:8] + "-" + t[8:]
}

func post(ctx context.Context, url, token string, body []byte, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("call %s: %w", url, err)
	}
	defer resp.Body.Close()
	reply, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("read reply: %w", err)
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s answers %d: %s", url, resp.StatusCode, reply)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(reply, into); err != nil {
		return fmt.Errorf("read reply: %w", err)
	}
	return nil
}

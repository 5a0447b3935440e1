package push_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"countersign/push"
)

func TestRedact(t *testing.T) {
	t.Parallel()
	inner := fmt.Errorf("token %s refused\r\nby\tthem: %w", address, context.Canceled)
	err := push.Redact(inner, address, "")
	if want := "token [" + push.Fingerprint(address) + "] refused  by them: context canceled"; err.Error() != want {
		t.Errorf("text %q, want %q", err, want)
	}
	if !errors.Is(err, context.Canceled) || errors.Is(err, inner) {
		t.Error("only the context's errors may be reachable")
	}
	if long := push.Redact(errors.New(strings.Repeat("é", 1000))).Error(); len(long) > 310 || !strings.HasSuffix(long, "é…") {
		t.Errorf("long text is %d bytes: %q", len(long), long)
	}
	if push.Redact(nil, "x") != nil {
		t.Error("Redact(nil) is an error")
	}
}

func TestFingerprint(t *testing.T) {
	t.Parallel()
	a, b := push.Fingerprint("a"), push.Fingerprint("b")
	if a == b || len(a) != 8 || push.Fingerprint("") != "none" {
		t.Errorf("fingerprints %q, %q, %q", a, b, push.Fingerprint(""))
	}
}

func TestError(t *testing.T) {
	t.Parallel()
	cause := errors.New("busy")
	for want, err := range map[string]*push.Error{
		"push: quota":       {Reason: push.Quota},
		"push: quota: busy": {Reason: push.Quota, Cause: cause},
	} {
		if err.Error() != want {
			t.Errorf("%q, want %q", err, want)
		}
	}
	if !errors.Is(&push.Error{Cause: cause}, cause) {
		t.Error("the cause is not reachable")
	}
}

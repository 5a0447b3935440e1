package event_test

import (
	"testing"

	"countersign/core/event"
)

// The event of a prompt: sanitised, encoded, with what the request adds.
func BenchmarkArgs(b *testing.B) {
	ctx, l := withOrigin(b.Context()), log()
	values := map[string]any{
		"transaction": modelID, "mode": "number_matching_3", "expires": now,
		"device": event.Model(modelID, "authentik_stages_authenticator_mobile", "mobiledevice", "Phone"),
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Args(ctx, event.Event{Action: event.Custom + "mobile_prompt", App: "authentik.core", Context: values}); err != nil {
			b.Fatal(err)
		}
	}
}

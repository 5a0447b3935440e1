package wire_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"countersign/mobile/wire"
)

type payloadVector struct {
	Name, Input, URL string
	Error            bool
}

type pushVector struct {
	Name  string
	Data  map[string]string
	Error bool
}

type pendingVector struct {
	Name  string
	Body  json.RawMessage
	Error bool
}

func vectors[T any](t testing.TB, name string) []T {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var out []T
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestParsePayload(t *testing.T) {
	t.Parallel()
	for _, v := range vectors[payloadVector](t, "payload.json") {
		p, err := wire.ParsePayload([]byte(v.Input))
		if (err != nil) != v.Error {
			t.Errorf("%s: error = %v", v.Name, err)
		}
		if p.URL != v.URL {
			t.Errorf("%s: URL = %q, want %q", v.Name, p.URL, v.URL)
		}
	}
}

func TestPayloadErrorsKeepTheToken(t *testing.T) {
	t.Parallel()
	const token = "sesame-open-sesame"
	for _, text := range []string{
		`{"u":"ftp://x/","s":"0192f3a4-5b6c-7d8e-9f01-23456789abcd","t":"` + token + `"}`,
		`{"u":"http://x/","s":"no","t":"` + token + `"}`,
		`{"u":1,"t":"` + token + `"}`,
		`{"u":"http://x/","s":"0192f3a4-5b6c-7d8e-9f01-23456789abcd","t":"` + token + ` "}`,
		`{"t":"` + token,
	} {
		if _, err := wire.ParsePayload([]byte(text)); err == nil || strings.Contains(err.Error(), token) {
			t.Errorf("%s: error = %v", text, err)
		}
	}
}

func TestPush(t *testing.T) {
	t.Parallel()
	for _, v := range vectors[pushVector](t, "push.json") {
		p, err := wire.ParsePush(v.Data)
		if (err != nil) != v.Error {
			t.Errorf("%s: error = %v", v.Name, err)
		}
		if err == nil && !maps.Equal(p.Data(), v.Data) {
			t.Errorf("%s: read and written again: %v, want %v", v.Name, p.Data(), v.Data)
		}
	}
}

func TestParsePending(t *testing.T) {
	t.Parallel()
	for _, v := range vectors[pendingVector](t, "pending.json") {
		if _, err := wire.ParsePending(v.Body); (err != nil) != v.Error {
			t.Errorf("%s: error = %v", v.Name, err)
		}
	}
	if _, err := wire.ParsePending([]byte(`{"pending":[],"x":"` + strings.Repeat("a", 64<<10) + `"}`)); err == nil {
		t.Error("oversized reply was read")
	}
}

func info() wire.Info {
	return wire.Info{
		Platform: wire.Android, OSVersion: "16", Model: "Pixel 9", Hostname: "phone", AppVersion: "1.0",
		Others: map[string]any{},
	}
}

func TestInfoValidate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(*wire.Info)
		field  string
		code   string
	}{
		{"whole", func(*wire.Info) {}, "", ""},
		{"longest text", func(i *wire.Info) { i.Model = strings.Repeat("é", wire.MaxText) }, "", ""},
		{"text too long", func(i *wire.Info) { i.Model = strings.Repeat("e", wire.MaxText+1) }, "model", "max_length"},
		{"blank", func(i *wire.Info) { i.Hostname = "" }, "hostname", "blank"},
		{"NUL", func(i *wire.Info) { i.OSVersion = "1\x00" }, "os_version", "null_characters_not_allowed"},
		{"not UTF-8", func(i *wire.Info) { i.AppVersion = "\xff" }, "app_version", "invalid"},
		{"platform missing", func(i *wire.Info) { i.Platform = "" }, "platform", "required"},
		{"platform unknown", func(i *wire.Info) { i.Platform = "symbian" }, "platform", "invalid_choice"},
		{"others missing", func(i *wire.Info) { i.Others = nil }, "others", "required"},
		{"others too large", func(i *wire.Info) { i.Others["x"] = strings.Repeat("x", wire.MaxOthersBytes) }, "others", "max_length"},
	} {
		i := info()
		c.change(&i)
		got := i.Validate()
		if c.field == "" {
			if got != nil {
				t.Errorf("%s: %v", c.name, got)
			}
			continue
		}
		if len(got) != 1 || got[0].Field != c.field || got[0].Code != c.code {
			t.Errorf("%s: %v, want %s on %s", c.name, got, c.code, c.field)
		}
	}
}

func TestRequestsValidate(t *testing.T) {
	t.Parallel()
	i := info()
	i.Model = ""
	fields := func(v []wire.Violation) []string {
		var out []string
		for _, one := range v {
			out = append(out, one.Field)
		}
		return out
	}
	if got := fields(wire.Enrollment{Info: i}.Validate()); !slices.Equal(got, []string{"device_uid", "info.model"}) {
		t.Errorf("enrolment: %v", got)
	}
	if got := fields(wire.PushKey{FirebaseKey: strings.Repeat("k", wire.MaxAddress+1)}.Validate()); !slices.Equal(got, []string{"firebase_key"}) {
		t.Errorf("push key: %v", got)
	}
	if got := fields(wire.Response{TxID: "0192f3a45b6c7d8e9f0123456789abcd"}.Validate()); !slices.Equal(got, []string{"tx_id", "selected_item"}) {
		t.Errorf("response: %v", got)
	}
	if got := (wire.Response{TxID: "0192f3a4-5b6c-7d8e-9f01-23456789abcd", SelectedItem: "no such item"}).Validate(); got != nil {
		t.Errorf("an item that is not offered is not a malformed request: %v", got)
	}
}

func TestCapability(t *testing.T) {
	t.Parallel()
	i := info()
	i.Others["push"] = "kept"
	if i.CanFetch() {
		t.Error("a stock phone can fetch")
	}
	marked := i.WithFetch()
	if !marked.CanFetch() {
		t.Error("the marker is not read in memory")
	}
	if i.CanFetch() || marked.Others["push"] != "kept" {
		t.Error("WithFetch changed the original, or lost a key")
	}
	text, err := json.Marshal(marked)
	if err != nil {
		t.Fatal(err)
	}
	var back wire.Info
	if err := json.Unmarshal(text, &back); err != nil || !back.CanFetch() {
		t.Errorf("the marker does not survive JSON: %s (%v)", text, err)
	}
	for _, other := range []string{
		`{"countersign":true}`, `{"countersign":{"fetch":"true","v":1}}`, `{"countersign":{"fetch":true}}`,
		`{"countersign":{"fetch":true,"v":0}}`, `{"countersign":{"fetch":false,"v":1}}`, `{"countersign":[]}`,
	} {
		back.Others = nil
		if err := json.Unmarshal([]byte(other), &back.Others); err != nil {
			t.Fatal(err)
		}
		if back.CanFetch() {
			t.Errorf("%s counts as able to fetch", other)
		}
	}
}

func FuzzParsePayload(f *testing.F) {
	for _, v := range vectors[payloadVector](f, "payload.json") {
		f.Add([]byte(v.Input))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := wire.ParsePayload(text)
		if err != nil {
			return
		}
		again, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if q, err := wire.ParsePayload(again); err != nil || q != p {
			t.Fatalf("%s reads as %v, then as %v (%v)", text, p, q, err)
		}
	})
}

func FuzzParsePush(f *testing.F) {
	for _, v := range vectors[pushVector](f, "push.json") {
		f.Add(v.Data["v"], v.Data["kind"], v.Data["tx_id"], v.Data["items"], v.Data["mode"])
	}
	f.Fuzz(func(t *testing.T, version, kind, tx, items, mode string) {
		p, err := wire.ParsePush(map[string]string{"v": version, "kind": kind, "tx_id": tx, "items": items, "mode": mode})
		if err != nil {
			return
		}
		if q, err := wire.ParsePush(p.Data()); err != nil || !reflect.DeepEqual(p, q) {
			t.Fatalf("%v is written and read as %v (%v)", p, q, err)
		}
	})
}

func FuzzParsePending(f *testing.F) {
	for _, v := range vectors[pendingVector](f, "pending.json") {
		f.Add([]byte(v.Body))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := wire.ParsePending(text)
		if err != nil {
			return
		}
		for _, one := range p.Pending {
			if len(one.Items) < map[bool]int{true: 2}[one.Mode.Picks()] || one.Mode.Shows() != (len(one.Items) == 1) || !wire.IsUUID(one.TxID) || one.Expires.IsZero() {
				t.Fatalf("%s is read as %v", text, one)
			}
		}
	})
}

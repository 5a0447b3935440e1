package qr_test

import (
	"encoding/base64"
	"encoding/xml"
	"strings"
	"testing"

	"countersign/authenticators/qr"
)

func TestImage(t *testing.T) {
	t.Parallel()
	uri, err := qr.Image("otpauth://totp/Brand:ann?secret=AAAA")
	if err != nil {
		t.Fatal(err)
	}
	data, ok := strings.CutPrefix(uri, "data:image/svg+xml;base64,")
	svg, err := base64.StdEncoding.DecodeString(data)
	if !ok || err != nil {
		t.Fatalf("%s: %v", uri, err)
	}
	var picture struct {
		ViewBox string `xml:"viewBox,attr"`
		Rect    struct {
			Fill string `xml:"fill,attr"`
		} `xml:"rect"`
		Path struct {
			D string `xml:"d,attr"`
		} `xml:"path"`
	}
	if err := xml.Unmarshal(svg, &picture); err != nil {
		t.Fatal(err)
	}
	// Version 3 has 29 modules, and the margin is four on each side; the first finder pattern is seven wide.
	if picture.ViewBox != "0 0 37 37" || picture.Rect.Fill != "#fff" || !strings.HasPrefix(picture.Path.D, "M4 4h7v1h-7z") {
		t.Errorf("the picture is %+v", picture)
	}
}

func TestImageOfTooMuch(t *testing.T) {
	t.Parallel()
	if _, err := qr.Image(strings.Repeat("a", 2331)); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	if _, err := qr.Image(strings.Repeat("a", 2332)); err == nil {
		t.Error("over the limit a code was drawn")
	}
}

package mobile

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/boombuler/barcode/qr"

	"countersign/mobile/wire"
)

// quiet is the margin around a QR code, in modules (ISO/IEC 18004 asks for four).
const quiet = 4

// qrCode draws the payload as an SVG data URI, black on white in every colour scheme.
func qrCode(p wire.Payload) (string, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("encode QR payload: %w", err)
	}
	code, err := qr.Encode(string(text), qr.M, qr.Auto)
	if err != nil {
		return "", fmt.Errorf("draw QR code: %w", err)
	}
	size := code.Bounds().Dx()
	var path strings.Builder
	for y := range size {
		for x := 0; x < size; x++ {
			start := x
			for x < size && dark(code.At(x, y).RGBA()) {
				x++
			}
			if x > start {
				fmt.Fprintf(&path, "M%d %dh%dv1h-%dz", start+quiet, y+quiet, x-start, x-start)
			}
		}
	}
	svg := fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]d %[1]d" shape-rendering="crispEdges">`+
		`<rect width="%[1]d" height="%[1]d" fill="#fff"/><path d="%[2]s"/></svg>`, size+2*quiet, path.String())
	return "data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString([]byte(svg)), nil
}

func dark(r, _, _, _ uint32) bool { return r < 0x8000 }

package mobile

import (
	"encoding/json"
	"fmt"

	"countersign/authenticators/qr"
	"countersign/mobile/wire"
)

// qrCode draws the payload as a data URI.
func qrCode(p wire.Payload) (string, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("encode QR payload: %w", err)
	}
	return qr.Image(string(text))
}

package wire

import "time"

// The WebSocket of a phone: GET …/socket/ with the credentials of any request, or, from a page, which cannot set headers, with
// the subprotocols [SocketProtocol] and "ticket." and the ticket.
const (
	ActionSocket = "socket"
	ActionTicket = "socket_ticket"

	SocketProtocol = "countersign.v1"

	// SocketPending is the type of the one message that there is.
	SocketPending = "pending"

	// SocketReplaced is the close code when another connection of the phone took this one's place: do not come back.
	SocketReplaced = 4001
)

// SocketMessage is what the server sends when what waits for the phone has changed, and first of all.
type SocketMessage struct {
	Type    string   `json:"type"`
	Pending []Prompt `json:"pending"`
}

// SocketTicket is the reply to POST …/socket_ticket/: good for one socket.
type SocketTicket struct {
	Ticket  string    `json:"ticket"`
	Expires time.Time `json:"expires"`
}

// SchemaName is the component's name in the API document.
func (SocketTicket) SchemaName() string { return "MobileDeviceSocketTicket" }

// ActionDisplayed is POST …/displayed/: the phone shows a prompt.
const ActionDisplayed = "displayed"

// Displayed is its body.
type Displayed struct {
	TxID string `json:"tx_id" api:"required,format=uuid"`
}

// SchemaName is the component's name in the API document.
func (Displayed) SchemaName() string { return "MobileDeviceDisplayed" }

package wire

// typeOutcome is the type of what an application is told by its webhook.
const typeOutcome = "countersign-approval+jwt"

// SignOutcome signs what an application is told of its approval, a JSON object, as a compact JWS by the server's key.
func (s *Signer) SignOutcome(body []byte) (string, error) { return s.sign(typeOutcome, body, false) }

// CheckOutcome checks a JWS by SignOutcome by the server's key and gives the JSON in it.
func (k Key) CheckOutcome(compact string) ([]byte, error) { return k.verify(typeOutcome, compact) }

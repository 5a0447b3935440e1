package chromium

import (
	"fmt"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/webauthn"
)

// Make is the AAGUID of Chromium's virtual authenticators.
const Make = "01020304-0506-0708-0102-030405060708"

// Authenticator is a virtual one, built into the computer of one tab: it holds passkeys, knows its owner, and its owner
// is there and agrees at once. Another tab has none of it: see Passkeys and Hold.
type Authenticator struct {
	tab *Tab
	id  webauthn.AuthenticatorID
}

// Plug adds an authenticator to the tab, for all pages that it shows.
func (t *Tab) Plug() (*Authenticator, error) {
	if _, err := Command(t, webauthn.Enable, webauthn.EnableParams{}); err != nil {
		return nil, fmt.Errorf("enable virtual authenticators: %w", err)
	}
	made, err := Command(t, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{
		Options: &webauthn.VirtualAuthenticatorOptions{
			Protocol: "ctap2", Ctap2version: "ctap2_1", Transport: "internal", HasResidentKey: true, HasUserVerification: true,
			IsUserVerified: true, AutomaticPresenceSimulation: true,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("add a virtual authenticator: %w", err)
	}
	return &Authenticator{t, made.AuthenticatorID}, nil
}

// Verifies sets whether the authenticator finds that it is its owner.
func (a *Authenticator) Verifies(on bool) error {
	_, err := Command(a.tab, webauthn.SetUserVerified, webauthn.SetUserVerifiedParams{AuthenticatorID: a.id, IsUserVerified: on})
	return err
}

// Agrees sets whether the owner agrees at once, without which they neither touch it nor pick one of its passkeys.
func (a *Authenticator) Agrees(on bool) error {
	_, err := Command(a.tab, webauthn.SetAutomaticPresenceSimulation,
		webauthn.SetAutomaticPresenceSimulationParams{AuthenticatorID: a.id, Enabled: on})
	return err
}

// Forges sets whether the authenticator signs wrongly.
func (a *Authenticator) Forges(on bool) error {
	p := webauthn.SetResponseOverrideBitsParams{AuthenticatorID: a.id}
	if on {
		p.IsBogusSignature = &on
	}
	_, err := Command(a.tab, webauthn.SetResponseOverrideBits, p)
	return err
}

// Passkey is one that an authenticator holds, with its private key. It is a part of the protocol's: an authenticator that knows
// nothing of the rest refuses it when it is written, also where it is empty.
type Passkey struct {
	ID         []byte  `json:"credentialId"`
	Resident   bool    `json:"isResidentCredential"` // found without being named
	Site       string  `json:"rpId"`
	PrivateKey []byte  `json:"privateKey"` // PKCS#8
	Owner      []byte  `json:"userHandle,omitempty"`
	SignCount  float64 `json:"signCount"`
}

type (
	holding struct {
		Authenticator webauthn.AuthenticatorID `json:"authenticatorId"`
		Credential    Passkey                  `json:"credential"`
	}
	held struct {
		Credentials []Passkey `json:"credentials"`
	}
)

// Passkeys are those that the authenticator holds.
func (a *Authenticator) Passkeys() ([]Passkey, error) {
	get := cdp.Command[webauthn.GetCredentialsParams, held]{Method: webauthn.CommandGetCredentials}
	out, err := Command(a.tab, get, webauthn.GetCredentialsParams{AuthenticatorID: a.id})
	return out.Credentials, err
}

// Hold puts a passkey into the authenticator, as a password manager does on a second device.
func (a *Authenticator) Hold(p Passkey) error {
	_, err := Command(a.tab, cdp.Command[holding, cdp.Empty]{Method: webauthn.CommandAddCredential}, holding{a.id, p})
	return err
}

package attestation

import (
	"fmt"
	"regexp"
	"slices"

	"countersign/mobile/wire"
)

// Demand is what a stage asks of the phones that it takes.
type Demand string

// The demands, the weakest first.
const (
	None     Demand = "none"      // evidence is not looked at
	Recorded Demand = "recorded"  // it is checked and shown, whatever it says
	Hardware Demand = "hardware"  // the key is in hardware, or an app on a genuine device vouches for it
	InChip   Demand = "strongbox" // the key is in a security chip of its own, and that is proved
)

// Enum lists the demands.
func (Demand) Enum() []string {
	return []string{string(None), string(Recorded), string(Hardware), string(InChip)}
}

// SchemaName is the component's name.
func (Demand) SchemaName() string { return "AttestationEnum" }

// Needed tells whether a phone without good evidence is refused.
func (d Demand) Needed() bool { return d == Hardware || d == InChip }

// Policy is what a finding has to say.
type Policy struct {
	Demand   Demand
	MinPatch string   // of Android, YYYY-MM; "" is any
	Apps     []string // of Android, as Finding.Apps has them; none is any. App IDs are checked with the evidence
	UserAuth string   // name of the key, of an Android phone, that must be one that each time asks for its owner
}

// Check tells whether a finding is enough. Errors: *Refusal.
func (p Policy) Check(f Finding) error {
	if !p.Demand.Needed() {
		return nil
	}
	if f.Format == wire.AppAttest {
		return p.checkApple(f)
	}
	switch {
	case f.Level != TEE && f.Level != StrongBox:
		return refuse("level", "The key of this phone is kept in software. Only phones that keep it in hardware may be added here.", nil)
	case p.Demand == InChip && f.Level != StrongBox:
		return refuse("level", "Only phones that keep their key in a security chip of its own may be added here.", nil)
	case f.Boot != Verified || !f.Locked:
		return refuse("boot", "The operating system of this phone is not its maker's, or its boot loader is unlocked.", nil)
	case p.MinPatch != "" && f.Patch < p.MinPatch:
		return refuse("patch", fmt.Sprintf("The security update of this phone is older than %s. Update the phone.", p.MinPatch), nil)
	case p.UserAuth != "" && f.Key == p.UserAuth && !f.UserAuth:
		return refuse("user_authentication", "The attested key can be used without a fingerprint, a face or a code.", nil)
	}
	if len(p.Apps) > 0 && !slices.ContainsFunc(f.Apps, func(app string) bool { return slices.Contains(p.Apps, app) }) {
		return refuse("app", "This app may not be used here.", nil)
	}
	return nil
}

// InHardware tells whether it is proved that hardware holds the key, on a phone whose system is its maker's. An app on an Apple device
// proves no such thing.
func (f Finding) InHardware() bool {
	return f.Problem == "" && f.Format == wire.AndroidKey && Policy{Demand: Hardware}.Check(f) == nil
}

func (p Policy) checkApple(f Finding) error {
	switch {
	case p.Demand == InChip:
		return refuse("level", "Only phones that prove where their key is kept may be added here. iPhones cannot.", nil)
	case f.Environment != Production:
		return refuse("environment", "This is a build for development. Install the app from its store.", nil)
	}
	return nil
}

var (
	packageName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+$`)
	androidApp  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+/[0-9a-f]{64}$`)
	appleApp    = regexp.MustCompile(`^[A-Z0-9]{10}\.[A-Za-z0-9.-]{1,155}$`)
	month       = regexp.MustCompile(`^20[0-9]{2}-(0[1-9]|1[0-2])$`)
)

// IsAndroidApp tells whether s names an app of Android: <package>/<SHA-256 of its signing certificate, in hexadecimal>.
func IsAndroidApp(s string) bool { return androidApp.MatchString(s) }

// IsAppleApp tells whether s is an App ID: <team>.<bundle id>.
func IsAppleApp(s string) bool { return appleApp.MatchString(s) }

// IsPatch tells whether s is a patch level: YYYY-MM.
func IsPatch(s string) bool { return month.MatchString(s) }

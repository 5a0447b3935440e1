package mail

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"countersign/core/event"
)

// Kind is what a mail tells of.
type Kind string

// The kinds of mail. Each has a file of its name in template.
const (
	DeviceAdded     Kind = "device_added"
	DeviceRemoved   Kind = "device_removed"
	DeviceMoved     Kind = "device_moved"   // its pushes go elsewhere
	DeviceRekeyed   Kind = "device_rekeyed" // it signs with other keys
	EmailChanged    Kind = "email_changed"
	PasswordChanged Kind = "password_changed"
	PhoneFlooded    Kind = "phone_flooded"     // it rang in vain as often as it may
	PhoneReport     Kind = "phone_report"      // a login, or what else was asked, was reported on it as somebody else's
	PhoneReportTold Kind = "phone_report_told" // the same, to administrators
)

// Facts are what a mail says of a deed. Texts in them are cleaned already.
type Facts struct {
	Device  string    `json:"device,omitempty"` // its name
	Label   string    `json:"label,omitempty"`  // its kind, for people: "WebAuthn Device"
	Old     string    `json:"old,omitempty"`    // the address before a change
	New     string    `json:"new,omitempty"`
	Other   bool      `json:"other,omitempty"`    // somebody else did it
	Rings   int       `json:"rings,omitempty"`    // of the phone, in vain
	Done    []string  `json:"done,omitempty"`     // what a report set off, as event.Effects
	NoLogin bool      `json:"no_login,omitempty"` // what was reported is an application's request
	At      time.Time `json:"at"`
	IP      string    `json:"ip,omitempty"`
	Agent   string    `json:"agent,omitempty"` // the User-Agent header
	Scheme  string    `json:"scheme,omitempty"`
	Host    string    `json:"host,omitempty"` // that the request asked for, with its port
}

// maxAgent and maxHost bound what is kept of headers, in characters.
const (
	maxAgent = 400
	maxHost  = 260
)

// outboxSQL puts mails into the outbox: to the addresses of $5, or else to the user's. A user without one gets none.
const outboxSQL = `INSERT INTO mail_outbox (user_id, address, kind, facts, created)
	SELECT u.id, a, $2::text, $3::jsonb, $4::timestamptz FROM users u, unnest(coalesce($5::text[], ARRAY[u.email])) AS a
	WHERE u.id = $1::integer AND a <> ''`

// reportSQL is outboxSQL, and tells administrators too: those active who are members of a superuser group or of one below it,
// at most twenty. $5 is the kind of their mail.
const reportSQL = `INSERT INTO mail_outbox (user_id, address, kind, facts, created)
	SELECT $1::integer, a.email, a.kind, $3::jsonb, $4::timestamptz FROM (
		SELECT u.email, $2::text AS kind FROM users u WHERE u.id = $1::integer AND u.email <> ''
		UNION ALL (
			WITH RECURSIVE below AS (
				SELECT group_uuid FROM groups WHERE is_superuser
				UNION SELECT g.group_uuid FROM groups g JOIN below b ON g.parent = b.group_uuid)
			SELECT DISTINCT u.email, $5::text FROM below JOIN group_members USING (group_uuid) JOIN users u ON u.id = user_id
				WHERE u.is_active AND u.email <> '' AND u.id <> $1::integer ORDER BY u.email LIMIT 20)) a`

// Beside is an event.Log's: the statement that queues the mails about an event, "" for most. It looks at authenticators
// that were added, removed or moved, at changed addresses, at passwords that were set, and at requests to phones that somebody
// else seems to have caused.
func (s *Service) Beside(ctx context.Context, e event.Event) (sql string, args []any, err error) {
	switch e.Action {
	case event.ModelCreated, event.ModelUpdated, event.ModelDeleted, event.PasswordSet, event.SuspiciousRequest:
	default: // logins and prompts above all
		return "", nil, nil
	}
	owner := e.Owner
	if owner == 0 && e.User != nil {
		owner = e.User.PK
	}
	if owner == 0 {
		return "", nil, nil
	}
	var kind Kind
	var f Facts
	var addresses []string
	ref, _ := e.Context["model"].(event.Ref)
	label := s.Devices[ref.App+"."+ref.ModelName]
	switch {
	case e.Action == event.ModelCreated && label != "":
		kind, f.Device, f.Label = DeviceAdded, clean(ref.Name, maxName), label
	case e.Action == event.ModelDeleted && label != "":
		kind, f.Device, f.Label = DeviceRemoved, clean(ref.Name, maxName), label
	case e.Action == event.PasswordSet:
		kind = PasswordChanged
	case e.Action == event.ModelUpdated && label != "":
		switch event.Replaced {
		case e.Context[event.PushAddress]:
			kind = DeviceMoved
		case e.Context[event.PhoneKeys]:
			kind = DeviceRekeyed
		default:
			return "", nil, nil
		}
		f.Device, f.Label = clean(ref.Name, maxName), label
	case e.Action == event.ModelUpdated:
		diff, _ := e.Context["diff"].(map[string]any)
		change, ok := diff["email"].(event.Changed)
		if !ok || strings.EqualFold(change.From, change.To) {
			return "", nil, nil
		}
		kind, f.Old, f.New, addresses = EmailChanged, clean(change.From, maxHost), clean(change.To, maxHost), []string{change.From, change.To}
	case e.Action == event.SuspiciousRequest && e.Context[event.Suspicion] == event.PhoneFlooded:
		kind = PhoneFlooded
		f.Rings, _ = e.Context["rings"].(int)
	case e.Action == event.SuspiciousRequest && e.Context[event.Suspicion] == event.PhoneReport:
		kind = PhoneReport
		f.Done, _ = e.Context[event.Effects].([]string)
		f.NoLogin, _ = e.Context[event.NoLogin].(bool)
	default:
		return "", nil, nil
	}
	o := event.From(ctx)
	f.At = s.Now().UTC()
	f.Other = o.Actor != nil && o.Actor.ID != owner
	if o.ClientIP.IsValid() {
		f.IP = o.ClientIP.Unmap().WithZone("").String()
	}
	f.Agent, f.Scheme, f.Host = clean(o.UserAgent, maxAgent), o.Scheme, clean(o.Host, maxHost)
	if asked, ok := e.Context[event.AskedFrom].(string); ok {
		f.IP, f.Agent = clean(asked, maxHost), ""
	}
	facts, err := json.Marshal(f)
	if err != nil {
		return "", nil, fmt.Errorf("queue mail %s: %w", kind, err)
	}
	args = []any{owner, string(kind), json.RawMessage(facts), f.At}
	if kind == PhoneReport {
		return reportSQL, append(args, string(PhoneReportTold)), nil
	}
	return outboxSQL, append(args, addresses), nil
}

package attack

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"countersign/mobile/wire"
	"countersign/simulator/browser"
)

// relay is a server of the attacker's that passes on to the real one, under that one's name or under its own.
func relay(ctx context.Context, target string, own bool) (base string, stop func(), err error) {
	to, err := url.Parse(target)
	if err != nil {
		return "", nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	srv := &http.Server{
		Handler: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
			if r.SetURL(to); own {
				r.Out.Host = r.In.Host
			}
		}},
		ReadHeaderTimeout: 10 * time.Second,
	}
	go func() { _ = srv.Serve(l) }() // it ends by stop
	return "http://" + l.Addr().String() + "/", func() { _ = srv.Close() }, nil
}

func relayPage(ctx context.Context, t *trial) error {
	v, err := t.victim(ctx, t.name)
	if err != nil {
		return err
	}
	l, q, err := t.ask(ctx, v)
	if err != nil {
		return err
	}
	shown := q.Context
	t.expect(shown.IP != "" && shown.Host != "" && strings.Contains(shown.Browser, "Chrome") && strings.Contains(shown.OS, "Windows"),
		"the attacker's browser, Chrome on Windows, has the owner's phone asked",
		"the phone shows %q on %q at %q, for %q", shown.Browser, shown.OS, shown.IP, shown.Host)
	result, err := t.approve(ctx, v, l, q)
	if err != nil {
		return err
	}
	passed := result.Outcome == browser.Approved
	// Both are right: where the server compares networks it may ask for more.
	t.expect(true, "the owner is shown the number by the phishing page, and gives in", "%s %s", result.Outcome, result.Detail)
	anyName := ""
	if t.target.Keys {
		if anyName, err = t.relayRequests(ctx); err != nil {
			return err
		}
		if err := t.relayKeys(ctx); err != nil {
			return err
		}
	}
	if passed {
		t.note("the number was relayed and let the attacker in, as is expected of any number; what the phone showed was the attacker's browser%s", anyName)
	} else {
		t.note("the number was relayed, and the server asked for more%s", anyName)
	}
	return nil
}

// relayRequests has the phone enrol through the relay, whose address it was shown in the QR code. anyName is what there is to say of a
// server that answers to the relay's name as to its own: the phone's requests are good there, and the relay reads along. It cannot be
// judged from here, since it is the proxy before a server that knows its names.
func (t *trial) relayRequests(ctx context.Context) (anyName string, err error) {
	for _, own := range []bool{false, true} {
		v, err := t.user(ctx, fmt.Sprintf("%s-requests-%v", t.name, own))
		if err != nil {
			return "", err
		}
		base, stop, err := relay(ctx, t.o.Base, own)
		if err != nil {
			return "", err
		}
		err = v.scan(ctx, func(payload []byte) error {
			a, err := t.thief(payload, verifying)
			if err != nil {
				return err
			}
			a.server = base
			got, err := a.enrol(ctx)
			switch {
			case !own:
				t.refused("the phone enrols through the relay, which the relayed QR code names", got, err)
			case err != nil:
				return err
			default:
				t.expect(got.status < 500, "the same, and the relay calls the server by the relay's name", "%s", got)
				if got.status == http.StatusOK {
					anyName = "; the server answers to any name, so that a relay can read along: its setting hosts names its own"
				}
			}
			return nil
		})
		stop()
		if err != nil {
			return "", err
		}
	}
	return anyName, nil
}

// relayKeys has the relay answer the phone's enrolment with a key of its own, by which it could ask the phone things itself.
func (t *trial) relayKeys(ctx context.Context) error {
	v, err := t.user(ctx, t.name+"-keys")
	if err != nil {
		return err
	}
	theirs, err := newKey()
	if err != nil {
		return err
	}
	a, err := t.app(verifying)
	if err != nil {
		return err
	}
	shown := ""
	_, enrolled := v.own.EnrolPhone(ctx, func(ctx context.Context, payload []byte) (string, error) {
		if err := a.read(payload); err != nil {
			return "", err
		}
		got, err := a.enrol(ctx)
		if err := t.accepted("enrol", got, err); err != nil {
			return "", err
		}
		if a.salt == "" {
			t.expect(false, "the relay answers the phone's enrolment", "the phone is good, with nothing to compare")
			return "", errEnough
		}
		shown, err = a.fingerprint(theirs.Key)
		return shown, err
	})
	if a.salt == "" && a.token != a.once {
		return nil
	}
	if shown == "" {
		return fmt.Errorf("relay the server's key: %w", enrolled)
	}
	t.expect(enrolled != nil, "the relay puts its key in place of the server's", "page and phone show the same: %v", enrolled == nil)
	got, err := a.do(ctx, a.good(wire.ActionCheckIn, info()))
	t.refused("that phone calls, after the owner said that the digits differ", got, err)
	return nil
}

package phone

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"countersign/mobile/wire"
)

// Fetch is how a phone learns of prompts beside its pushes.
type Fetch string

// The ways. One that polls or has a socket needs no pushes, and what it learns by both rings once.
const (
	ByPush   Fetch = "push"   // a push wakes it; the default
	ByPoll   Fetch = "poll"   // it asks, and the server holds the reply until something is new
	BySocket Fetch = "socket" // it has a WebSocket
)

const (
	holdFor     = 50 * time.Second // as long as a server holds at the most
	comeBack    = time.Second      // after a connection that failed, with up to as much again by lot
	maxMessages = 64 << 10         // bytes of one message of a socket
)

// errUnwanted says that the server wants to see no connection of this account again.
var errUnwanted = errors.New("phone: the server does not want the connection")

// follow keeps an account informed, as Options.Fetch says, until the phone is closed, the account forgotten, or the phone sent away.
func (p *Phone) follow(device string) {
	var once func(context.Context, Account, *string) error
	switch p.o.Fetch {
	case ByPoll:
		once = p.poll
	case BySocket:
		once = p.listen
	default:
		return
	}
	p.spawn(func() {
		known := "" // the prompt that the server last told of
		for {
			changed := p.Changed()
			a, found := p.accountOf(Ring{Device: device})
			if !found || p.ctx.Err() != nil {
				return
			}
			ctx, done, err := p.online(p.ctx)
			if err != nil {
				select {
				case <-changed:
				case <-p.ctx.Done():
				}
				continue
			}
			err = once(ctx, a, &known)
			if ctx.Err() != nil { // the phone itself broke it off
				err = nil
			}
			done()
			if err == nil {
				continue
			}
			p.note(Step{Name: StepHungUp, Device: device, Error: err.Error()})
			if errors.Is(err, errUnwanted) || p.pause(p.ctx, comeBack+p.lot(comeBack)) != nil {
				return
			}
		}
	})
}

// lot is a time below limit, by lot.
func (p *Phone) lot(limit time.Duration) time.Duration {
	var b [2]byte
	_, _ = p.o.Rand.Read(b[:]) // without randomness, at once
	return limit * (time.Duration(b[0])<<8 | time.Duration(b[1])) >> 16
}

// poll asks once and is held.
func (p *Phone) poll(ctx context.Context, a Account, known *string) error {
	query := url.Values{"wait": {strconv.Itoa(int(holdFor.Seconds()))}}
	if *known != "" {
		query.Set("known", *known)
	}
	ctx, cancel := context.WithTimeout(ctx, holdFor+callLimit)
	defer cancel()
	fresh, list, err := p.fetch(ctx, a, query)
	var status *StatusError
	if errors.As(err, &status) && (status.Status == http.StatusForbidden || status.Status == http.StatusNotFound) {
		return fmt.Errorf("%w: %w", errUnwanted, err)
	}
	*known = only(list)
	p.behaveAll(fresh)
	return err
}

// only is the one prompt that is pending, "" if there are none or several.
func only(list []wire.Prompt) string {
	if len(list) == 1 {
		return list[0].TxID
	}
	return ""
}

// listen has a socket until it breaks.
func (p *Phone) listen(ctx context.Context, a Account, _ *string) error {
	var conn *websocket.Conn
	err := p.step(StepConnected, "", a.Device, func() (err error) {
		conn, err = p.dialSocket(ctx, a)
		return err
	})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	conn.SetReadLimit(maxMessages)
	for {
		_, text, err := conn.ReadMessage()
		if websocket.IsCloseError(err, websocket.ClosePolicyViolation, wire.SocketReplaced) {
			return fmt.Errorf("%w: %w", errUnwanted, err)
		}
		if err != nil {
			return fmt.Errorf("socket: %w", err)
		}
		var message wire.SocketMessage
		list, err := wire.ParsePending(text)
		if err == nil {
			err = json.Unmarshal(text, &message)
		}
		if err != nil || message.Type != wire.SocketPending {
			p.note(Step{Name: StepIgnored, Device: a.Device, Detail: fmt.Sprintf("socket: type %q: %v", message.Type, err)})
			continue
		}
		p.note(Step{Name: StepFetched, TxID: only(list.Pending), Device: a.Device})
		p.behaveAll(p.take(a, p.newest(), list.Pending))
	}
}

// dialSocket opens a socket by the credentials of any request.
func (p *Phone) dialSocket(ctx context.Context, a Account) (*websocket.Conn, error) {
	dialer := websocket.Dialer{HandshakeTimeout: callLimit}
	if t, ok := p.o.HTTP.Transport.(*http.Transport); ok {
		dialer.NetDialContext, dialer.TLSClientConfig, dialer.Proxy = t.DialContext, t.TLSClientConfig, t.Proxy
	}
	for again := false; ; again = true {
		req, err := p.request(ctx, a, http.MethodGet, wire.ActionSocket, nil)
		if err != nil {
			return nil, err
		}
		conn, res, err := dialer.DialContext(ctx, "ws"+strings.TrimPrefix(req.URL.String(), "http"), req.Header)
		if err == nil {
			return conn, nil
		}
		if res == nil {
			return nil, fmt.Errorf("open socket: %w", err)
		}
		_ = res.Body.Close()
		switch {
		case !again && a.keys != nil && a.keys.remember(res):
		case res.StatusCode == http.StatusForbidden || res.StatusCode == http.StatusNotFound:
			return nil, fmt.Errorf("%w: %s", errUnwanted, res.Status)
		default:
			return nil, fmt.Errorf("open socket: %s", res.Status)
		}
	}
}

package mobile

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"countersign/core/api"
	"countersign/core/db"
	"countersign/core/fault"
	"countersign/core/secret"
	"countersign/mobile/wire"
)

// Channel is a push channel that phones may choose.
type Channel struct {
	wire.PushOffer
	// Address makes the address of what the phone gave and of the gateway that the phone's stage names (cgw_endpoint); nil: the
	// gateway does not matter.
	Address func(gateway, given string) string
	// Check says what is wrong with an address as far as that shows without asking anybody, in a text for people. May be nil.
	Check func(address string) error
}

// actionChannels is the path of the list of channels, among the devices' own.
const actionChannels = "/authenticators/mobile/push_channels/"

// mountChannels adds the list of channels. It is open: what it says a phone has to know before it has any credentials, and
// is no secret.
func (s *Service) mountChannels(a *api.API) {
	api.Handle(a, api.Operation{
		Method: "GET", Path: actionChannels, ID: "authenticators_mobile_push_channels_retrieve", Tag: "authenticators", Access: api.Open,
		Description: "The channels by which this server can ring phones, and the public keys to subscribe with.",
	}, func(context.Context, *api.Request, api.None) (wire.PushOffers, error) {
		out := wire.PushOffers{Channels: make([]wire.PushOffer, 0, len(s.Channels)+1)}
		for _, c := range s.Channels {
			out.Channels = append(out.Channels, c.PushOffer)
		}
		out.Channels = append(out.Channels, wire.PushOffer{Channel: wire.ChannelNone})
		return out, nil
	})
}

// chosen is the channel and the address that a phone asks for; no address: it asks by itself. A phone that names no channel
// is one of the contract, which this server's settings need not suit.
func (s *Service) chosen(ctx context.Context, device uuid.UUID, in wire.PushKey) (channel string, address *string, err error) {
	if in.Channel == "" {
		return s.Channel, &in.FirebaseKey, nil
	}
	if in.Channel == wire.ChannelNone {
		return string(in.Channel), nil, nil
	}
	for _, c := range s.Channels {
		if c.Channel != in.Channel {
			continue
		}
		text := in.Address()
		if c.Address != nil {
			gateway, err := s.gateway(ctx, device)
			if err != nil {
				return "", nil, err
			}
			text = c.Address(gateway, text)
		}
		if c.Check == nil {
			return string(in.Channel), &text, nil
		}
		if err := c.Check(text); err != nil {
			field := "firebase_key"
			if in.Channel.Subscribes() {
				field = "subscription.endpoint"
			}
			return "", nil, fault.Field(field, "invalid", "This server cannot send there: "+err.Error()+".")
		}
		return string(in.Channel), &text, nil
	}
	return "", nil, fault.Field("channel", "unavailable", fmt.Sprintf("This server does not push by %q; see push_channels.", in.Channel))
}

// gateway is what the stage by which a device was set up names as its push gateway; "" for none.
func (s *Service) gateway(ctx context.Context, device uuid.UUID) (string, error) {
	var named string
	err := s.Pool.QueryRow(ctx, `SELECT coalesce(s.settings->>'cgw_endpoint', '') FROM mobile_devices d LEFT JOIN stages s ON s.stage_uuid = d.stage WHERE d.uuid = $1`,
		device).Scan(&named)
	if err != nil {
		return "", fmt.Errorf("read stage of device: %w", db.Fault(err))
	}
	return named, nil
}

// pushKeyColumn is where the keys by which push services know the server are kept.
var pushKeyColumn = secret.Column{Table: "push_keys", Name: "private_sealed", Key: []string{"channel"}}

// ChannelKey is the server's own key for a push channel, one for all nodes, made when it is first asked for.
func ChannelKey(ctx context.Context, pool *pgxpool.Pool, keeper *secret.Keeper, channel string) (*ecdsa.PrivateKey, error) {
	made, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	plain, err := x509.MarshalPKCS8PrivateKey(made)
	if err != nil {
		return nil, err
	}
	var sealed []byte
	// Of the nodes that start at once, one inserts; the others read what it did.
	_, err = pool.Exec(ctx, `INSERT INTO push_keys (channel, private_sealed) VALUES ($1, $2) ON CONFLICT DO NOTHING`,
		channel, keeper.Seal(plain, pushKeyColumn.AAD(channel)))
	if err == nil {
		err = pool.QueryRow(ctx, `SELECT private_sealed FROM push_keys WHERE channel = $1`, channel).Scan(&sealed)
	}
	if err != nil {
		return nil, fmt.Errorf("load the key of push channel %s: %w", channel, db.Fault(err))
	}
	if plain, err = keeper.Open(sealed, pushKeyColumn.AAD(channel)); err != nil {
		return nil, fmt.Errorf("open the key of push channel %s: %w", channel, err)
	}
	private, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		return nil, fmt.Errorf("read the key of push channel %s: %w", channel, err)
	}
	key, ok := private.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("the key of push channel " + channel + " is not one on P-256")
	}
	return key, nil
}

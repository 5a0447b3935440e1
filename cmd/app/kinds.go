package app

import (
	"crypto/ecdsa"
	"slices"

	"countersign/authenticators"
	"countersign/authenticators/duo"
	"countersign/authenticators/sms"
	"countersign/authenticators/static"
	"countersign/authenticators/totp"
	"countersign/authenticators/validate"
	"countersign/core/root"
	"countersign/core/secret"
	"countersign/core/token"
	"countersign/flows"
	"countersign/flows/stages/identification"
	"countersign/flows/stages/password"
	"countersign/flows/stages/userlogin"
	"countersign/flows/stages/userlogout"
	"countersign/mobile"
	"countersign/mobile/wire"
	"countersign/push"
	"countersign/push/apns"
	"countersign/push/fcm"
	"countersign/push/relay"
	"countersign/push/webpush"
)

// authenticatorKinds is the list of authenticator kinds, in the order in which they are offered.
func (s *services) authenticatorKinds() []*authenticators.Kind {
	return []*authenticators.Kind{
		s.mobile.Kind(),
		s.totp.Kind(),
		s.static.Kind(),
		s.webauthn.Kind(),
		s.duo.Kind(),
		s.sms.Kind(),
	}
}

// stageKinds is the list of stage kinds.
func (s *services) stageKinds() []*flows.Kind {
	return append([]*flows.Kind{
		identification.Kind(s.users),
		password.Kind(s.users, s.tokens),
		userlogin.Kind(s.sessions),
		userlogout.Kind(s.sessions),
		validate.Kind(s.authenticators, s.users, s.keeper),
	}, s.authenticators.SetUps(
		s.mobile.StageKind(),
		s.totp.StageKind(),
		s.static.StageKind(),
		s.webauthn.StageKind(),
		s.duo.StageKind(),
		s.sms.StageKind(),
	)...)
}

// sealedColumns is the list of what is stored sealed.
func sealedColumns() []secret.Column {
	return slices.Concat(token.Sealed(), mobile.Sealed(), totp.Sealed(), static.Sealed(), duo.Sealed(), sms.Sealed())
}

// channelKeys are the server's own keys for channels that need one; nil: it cannot be had, and so neither can the channel.
type channelKeys struct{ webpush, relay *ecdsa.PrivateKey }

// channels is the list of push channels that the settings allow, in the order in which we would choose.
func channels(c Config, keys channelKeys) ([]push.Channel, error) {
	out, err := providers(c)
	if err != nil {
		return nil, err
	}
	if keys.webpush != nil {
		for _, name := range []string{webpush.Name, webpush.UnifiedPush} {
			channel, err := webpush.New(webpush.Config{Name: name, Key: keys.webpush, Contact: c.PushContact(), AllowedHosts: c.Push.WebPush.AllowedHosts})
			if err != nil {
				return nil, err
			}
			out = append(out, channel)
		}
	}
	if keys.relay != nil {
		channel, err := relay.New(relay.Config{URL: c.Push.Relay.URL, Ticket: c.Push.Relay.Key, Key: keys.relay})
		if err != nil {
			return nil, err
		}
		out = append(out, channel)
	}
	return out, nil
}

// providers are the channels to Google and Apple, which need credentials. A relay has these alone.
func providers(c Config) ([]push.Channel, error) {
	var out []push.Channel
	if f := c.Push.FCM; f.Credentials != "" {
		channel, err := fcm.New(fcm.Config{
			CredentialsJSON: []byte(f.Credentials), Project: f.Project, BaseURL: f.URL,
		})
		if err != nil {
			return nil, err
		}
		out = append(out, channel, channel.Installations())
	}
	if a := c.Push.APNs; a.Key != "" {
		channel, err := apns.New(apns.Config{Key: a.Key, KeyID: a.KeyID, Team: a.Team, Topic: a.Topic, URL: a.URL})
		if err != nil {
			return nil, err
		}
		out = append(out, channel)
	}
	return out, nil
}

// offers are the channels as phones choose among them.
func offers(all []push.Channel) []mobile.Channel {
	out := make([]mobile.Channel, 0, len(all))
	for _, channel := range all {
		o := mobile.Channel{PushOffer: wire.PushOffer{Channel: wire.PushChannel(channel.Name())}}
		if c, ok := channel.(interface{ PublicKey() string }); ok {
			o.VAPIDPublicKey = c.PublicKey()
		}
		if c, ok := channel.(*relay.Channel); ok {
			o.RelayInstance, o.Address = c.Instance(), relay.Address
		}
		if c, ok := channel.(interface{ CheckAddress(address string) error }); ok {
			o.Check = c.CheckAddress
		}
		out = append(out, o)
	}
	return out
}

// mount is the list of resources and operations.
func (s *services) mount() {
	s.userAPI.Mount(s.api, s.registry)
	s.machines.Mount(s.api)
	s.groups.Mount(s.registry)
	s.tokens.Mount(s.registry)
	s.sessions.Mount(s.registry)
	s.brands.Mount(s.api, s.registry)
	flows.MountFlows(s.registry)
	flows.MountStages(s.api, s.registry, s.pool, s.stages)
	flows.MountBindings(s.registry, s.stages)
	s.mobile.MountDevices(s.registry)
	s.totp.MountDevices(s.registry)
	s.static.MountDevices(s.registry)
	s.webauthn.Mount(s.registry)
	s.duo.MountDevices(s.registry)
	s.duo.Mount(s.api)
	s.sms.MountDevices(s.registry)
	s.mobile.Mount(s.api)
	s.mobile.MountBlocks(s.api)
	s.mobile.MountApprovals(s.api)
	s.authenticators.Mount(s.api, s.pool)
	s.audit.Mount(s.api, s.registry)
	root.Mount(s.api)
}

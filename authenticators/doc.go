// Package authenticators is what the kinds of authenticator have in common: the device as lists show it, the kind
// with its part in a login, and the lists over all kinds.
//
// It owns Kind and Method, the interfaces that a kind fills in, and /authenticators/all/ and
// /authenticators/admin/all/. It does not own any kind (mobile, and a folder here for each other), nor the validation
// stage that asks them (authenticators/validate).
//
//	validate stage ─▶ Store.Devices ─▶ one query over all kinds
//	               ─▶ Method.Offer  ─▶ what is asked of each device, kept in the plan
//	               ─▶ Method.Select ─▶ the person chose it: send what is to be sent
//	               ─▶ Method.Answer ─▶ Next, Stay, Deny or Wait
//
// Set-up stages stand behind Store.SetUps: a login by the password alone adds no device beside those that were there before it.
// Kinds share how a set-up under way keeps its secret (Draft) and how devices are served (MountDevices).
//
// What only some kinds can is an interface of its own: Ruled heeds what a stage demands of devices, Passwordless finds out
// whose device it is. Offer.Proof says more of what was proved.
//
// # The number of a device
//
// A device is named by a string on the wire (device_uid), but the list over all kinds gives pk as an integer, and
// clients generated from the contract decode it as one. Mobile devices, whose own key is a UUID, therefore have a
// number too, which stands in these two lists and nowhere else (core.md §5, choice a).
package authenticators

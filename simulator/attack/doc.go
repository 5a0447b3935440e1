// Package attack is the attack pack: what thieves of passwords, of QR codes and of phones try against a server that speaks the
// protocol of docs/phone-app.md, and what it has to do. It owns the attacks, their users, an app that behaves as badly as its
// holder likes, and the report; browsers and the wire are those of browser and mobile/wire. It needs an address and an API token,
// and no push service: its phones ask by themselves.
//
//	Run ─▶ survey: which phones are taken, how are they asked? ─▶ each attack on fresh users, four at a time ─▶ users removed
//
//	an attack ─▶ probes, each "this was tried, this came back" ─┬▶ held: the server did as is expected of it
//	                                                            ├▶ broken: at least one probe did not hold
//	                                                            ├▶ not applicable: as it is set up there is nothing to attack
//	                                                            └▶ failed: it could not be carried out, which proves nothing
//
// Each attack has a control where one is possible: at its end the owner's good answer still lets the owner in, so that a server
// that refuses everything does not hold.
package attack

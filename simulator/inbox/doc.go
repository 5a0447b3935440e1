// Package inbox is what the doubles of push services have in common: addresses with the phones that are connected to them,
// messages that are stored until their time is over or a newer one replaces them, faults on command, a history of what was
// sent, and the look at each message for what must not be in it. It owns no protocol: simulator/webpush and simulator/apns do.
//
//	Take ──▶ fault on command? ──▶ its status
//	  │ address unknown or dead? ──▶ Gone
//	  ▼
//	accepted ──▶ delivered to each connected phone, else stored ──▶ delivered when one connects
//	                                                    │ expired, or replaced by one with its key
package inbox

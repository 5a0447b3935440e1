package phone_test

import (
	"context"
	"fmt"

	"countersign/simulator/phone"
	"countersign/simulator/servertest"
)

// The phone of a person who reads the number off the page and taps it.
func Example() {
	ctx := context.Background()
	server := servertest.Start(servertest.Options{})
	defer server.Close()
	server.AddUser("ada", "secret")

	var screen phone.Screen
	p := phone.New(phone.Options{Push: server, Behaviour: phone.Approve(&screen)})
	defer p.Close()
	account, err := p.EnrolFromQR(ctx, server.Enrolment("ada"))
	if err != nil {
		fmt.Println(err)
		return
	}

	_, number := server.Ask("ada") // a login begins; the page shows a number
	screen.Show(account.Device, number)
	ring, err := p.AwaitRing(ctx, func(r phone.Ring) bool { return r.State == phone.Answered })
	fmt.Println(ring.Answer == number, err)
	// Output: true <nil>
}

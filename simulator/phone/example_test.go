package phone_test

import (
	"context"
	"fmt"

	"countersign/simulator/phone"
	"countersign/simulator/standin"
)

// The phone of a person who reads the number off the page and taps it. A real server's pushes come from a double of its push
// service, as fcm.Double, and its page is read by the browser package.
func Example() {
	ctx, screen, server := context.Background(), phone.Screen{}, standin.Start(standin.Options{})
	defer server.Close()
	server.AddUser("ada", "secret")

	p, account, err := phone.Enrol(ctx, server.Enrolment("ada"), phone.Options{Push: server, Behaviour: phone.Approve(&screen)})
	if err != nil {
		panic(err)
	}
	defer p.Close()
	_, number := server.Ask("ada") // a login begins; the page shows a number
	screen.Show(account.Device, number)
	ring, err := p.AwaitRing(ctx, func(r phone.Ring) bool { return r.State == phone.Answered })
	fmt.Println(ring.Answer == number, err)
	// Output: true <nil>
}

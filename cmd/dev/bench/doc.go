// Package bench measures the server: how many approvals it does in a second against what PostgreSQL alone could do, how
// soon the browser hears of an answer, and how much memory waiting costs.
//
// Phones are measured apart (phones.go): as many as asked for, held by one server on a socket or a long poll, against an HTTP server of
// the standard library that holds as many requests. They are another process, from several loopback addresses, as one has too few
// ports.
//
// Outages of the push service are measured apart too (outage.go): logins begin at a steady rate, while a double of Firebase Cloud Messaging
// works, hangs and refuses; its history, held against the prompts, tells whether a push was sent when nobody could answer any more.
//
// It owns the measured scene (people, phones, sessions, a flow), a lean HTTP client that leaves the processors to the
// server, and the comparison. It changes nothing in the server: all goes over TCP, and what the server sends to PostgreSQL
// is seen by a pgx tracer.
//
//	one managed PostgreSQL, fsync on
//	   ▲ app.Open ◀─ TCP ─ browser, phone      A: approvals, c at a time
//	   ▲ pgx alone                             B: the durable statements of A, c at a time
//	   A B B A A B B A …                       noise of the machine hits both
//
// One approval is: the browser's POST of choice and answer, as our page sends it (the server commits the prompt, pushes, and
// holds the request) → the phone's POST receive_response (the server commits the answer) → the browser's 302 (the server
// commits the plan). With --stock the choice is a request of its own, as on authentik's page.
//
// The statements of B are those that the tracer saw in one approval, without the reads, in the same batches, with keys of
// the same sizes on the same tables. So B follows the server when its statements change.
package bench

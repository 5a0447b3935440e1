// Package webpage is what the simulator's web pages have in common: who may reach them, their files, their event stream and their
// small JSON. What a page shows is its own package's: page is one phone, desk a run.
//
// Whoever reaches such a page is its person: there is no login. It answers only under a name that a foreign web page cannot take
// over (an IP address, localhost, or one that it is told) and refuses requests that a foreign page makes.
package webpage

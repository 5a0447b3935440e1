// Command simulator is the other side of a login: phones, the push service that rings them, and
// browsers. See `simulator --help`.
package main

import (
	"context"
	"os"

	"countersign/simulator/cli"
)

func main() {
	os.Exit(cli.Main(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

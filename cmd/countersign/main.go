// Command countersign is the server: see `countersign --help`.
package main

import (
	"os"

	"countersign/cmd/app/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Environ(), os.Stdout, os.Stderr)) }

package app_test

import (
	"os"
	"testing"

	"countersign/cmd/app/cli"
)

// mainEnv makes the test binary the countersign program, so that tests can start, kill and restart it without building.
const mainEnv = "COUNTERSIGN_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(mainEnv) != "" {
		os.Exit(cli.Main(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

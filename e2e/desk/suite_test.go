package desk

import (
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"countersign/e2e/chromium"
)

func TestDesk(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "The simulator's pages")
}

var chrome *chromium.Browser

var _ = BeforeSuite(func() {
	SetDefaultEventuallyTimeout(15 * time.Second)
	SetDefaultEventuallyPollingInterval(20 * time.Millisecond)
	chrome = chromium.StartFor(GinkgoTB())
})

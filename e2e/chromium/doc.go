// Package chromium is a browser for end-to-end suites: it starts Chromium, opens tabs, types and clicks as a person does,
// and tells what the page shows. It owns the processes; what pages mean is the suites' affair.
//
// Methods that look return an error rather than fail, so that they can be polled: a page may go away under the question.
package chromium

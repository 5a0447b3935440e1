//go:build unix && !linux

package db

import "syscall"

// setDeathSignal does nothing where the system has no such signal: the next start stops what was left behind.
func setDeathSignal(*syscall.SysProcAttr) {}

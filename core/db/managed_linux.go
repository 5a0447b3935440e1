package db

import "syscall"

// setDeathSignal has the kernel stop the server when we are killed: a fast shutdown, as Stop does.
func setDeathSignal(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGINT }

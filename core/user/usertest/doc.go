// Package usertest makes users for the tests of other packages.
package usertest

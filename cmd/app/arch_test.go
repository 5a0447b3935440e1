package app_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "countersign/"

// A storey is a set of packages and the storeys that it may import beside itself. The first pattern that fits decides,
// so the special ones come first. A pattern is a path of the module; * is one element, a last ** any number.
type storey struct {
	name    string
	pattern []string
	imports []string // storeys
	tests   []string // storeys that its tests import as well, to have a whole flow of the real parts
	apart   bool     // its packages do not import each other, except from below their own folder
	stdlib  bool     // nothing from elsewhere either
}

var storeys = []storey{
	{name: "test support", pattern: []string{"core/*test", "core/*/*test", "flows/*test", "authenticators/*test", "push/*test"}, imports: []string{
		"platform", "area", "engine", "stage", "authenticator", "authenticator kind", "push", "channel", "mobile", "wire", "test support"}},
	{name: "platform", pattern: patterns("core/%/**", "fault config db bus secret api resource rbac event task duration"), imports: []string{"platform"}},
	{name: "egress", pattern: []string{"core/egress"}, stdlib: true},
	{name: "area", pattern: []string{"core/**"}, imports: []string{"platform", "area"}, tests: []string{"browser"}},
	{name: "stage", pattern: []string{"flows/stages/**"}, imports: []string{"platform", "area", "engine"}, tests: []string{"stage"}, apart: true},
	{name: "engine", pattern: []string{"flows/**"}, imports: []string{"platform", "area", "engine"}, tests: []string{"stage", "authenticator"}},
	{name: "authenticator", pattern: []string{"authenticators", "authenticators/validate/**", "authenticators/qr/**", "authenticators/throttle/**", "authenticators/browser/**"},
		imports: []string{"platform", "area", "engine", "authenticator"}, tests: []string{"stage", "authenticator kind"}},
	{name: "authenticator kind", pattern: []string{"authenticators/**"}, imports: []string{"platform", "area", "engine", "authenticator"}, tests: []string{"stage", "browser"}, apart: true},
	{name: "push", pattern: []string{"push"}},
	{name: "channel", pattern: []string{"push/**"}, imports: []string{"push", "egress"}, apart: true},
	{name: "wire", pattern: []string{"mobile/wire/**"}, stdlib: true},
	{name: "mobile", pattern: []string{"mobile/**"}, imports: []string{"platform", "area", "engine", "authenticator", "push", "wire", "egress"}, tests: []string{"stage", "channel", "maker"}},
	{name: "maker", pattern: []string{"simulator/maker"}, stdlib: true},
	{name: "simulator", pattern: []string{"simulator/**"}, imports: []string{"simulator", "maker", "wire"}},
	{name: "browser", pattern: []string{"e2e/chromium"}},
	{name: "e2e", pattern: []string{"e2e/**"}, imports: []string{"e2e", "browser", "simulator", "maker", "wire"}},
	{name: "cmd", pattern: []string{"cmd/**"}, imports: []string{
		"platform", "area", "engine", "stage", "authenticator", "authenticator kind", "push", "channel", "mobile", "wire", "simulator", "maker", "cmd"}},
}

func patterns(format, names string) []string {
	var out []string
	for name := range strings.FieldsSeq(names) {
		out = append(out, strings.ReplaceAll(format, "%", name))
	}
	return out
}

// storeyOf finds where a package lives; pkg is without the module.
func storeyOf(pkg string) *storey {
	for i := range storeys {
		for _, p := range storeys[i].pattern {
			if fits(p, pkg) {
				return &storeys[i]
			}
		}
	}
	return nil
}

func fits(pattern, pkg string) bool {
	if prefix, deep := strings.CutSuffix(pattern, "/**"); deep {
		parts := strings.Split(pkg, "/")
		n := strings.Count(prefix, "/") + 1
		pattern, pkg = prefix, strings.Join(parts[:min(n, len(parts))], "/")
	}
	ok, err := path.Match(pattern, pkg)
	return ok && err == nil
}

// forbidden says why from may not import to; "" when it may. fromTest is an import by a test file.
func forbidden(from, to string, fromTest bool) string {
	source := storeyOf(from)
	if source == nil {
		return "it lies in no known storey: see cmd/app/arch_test.go"
	}
	pkg, ours := strings.CutPrefix(to, module)
	if !ours {
		if source.stdlib && !fromTest && strings.Contains(strings.Split(to, "/")[0], ".") {
			return source.name + " imports the standard library only"
		}
		return ""
	}
	target := storeyOf(pkg)
	switch {
	case target == nil:
		return "the imported package lies in no known storey"
	case target.name == "test support":
		if fromTest && source.name != "simulator" && source.name != "e2e" || source.name == "test support" {
			return ""
		}
		return "what supports tests stays out of the programs"
	case fromTest && slices.Contains(source.tests, target.name):
		return ""
	case pkg == from || strings.HasPrefix(pkg, from+"/") && target == source || strings.HasPrefix(from, pkg+"/") && target == source:
		return ""
	case target == source && source.apart:
		return "packages of the storey " + source.name + " do not import each other"
	case target == source, slices.Contains(source.imports, target.name):
		return ""
	}
	return "the storey " + source.name + " does not import " + target.name
}

// goPackage is what go list says of a package.
type goPackage struct {
	ImportPath   string
	Standard     bool
	ForTest      string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// TestArchitecture holds every import to the storeys. depguard in .golangci.yml says the same to an editor.
func TestArchitecture(t *testing.T) {
	t.Parallel()
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Standard,ForTest,Imports,TestImports,XTestImports", module+"...")
	var complaints bytes.Buffer
	list.Stderr = &complaints
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &complaints)
	}
	seen := 0
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		from, ours := strings.CutPrefix(p.ImportPath, module)
		if !ours {
			continue
		}
		seen++
		for _, to := range p.Imports {
			if why := forbidden(from, to, false); why != "" {
				t.Errorf("%s%s imports %s: %s", module, from, to, why)
			}
		}
		for _, to := range append(p.TestImports, p.XTestImports...) {
			if why := forbidden(from, to, true); why != "" {
				t.Errorf("a test of %s%s imports %s: %s", module, from, to, why)
			}
		}
	}
	if seen < 20 {
		t.Errorf("go list shows %d packages of ours: something is wrong with this test", seen)
	}
}

// TestArchitectureRules shows that the rules forbid what they are there to forbid.
func TestArchitectureRules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		from, to string
		test     bool
		allowed  bool
	}{
		{from: "core/api", to: "core/user"},
		{from: "core/api/schema", to: "core/fault", allowed: true},
		{from: "core/user", to: "core/api", allowed: true},
		{from: "core/token", to: "core/user", allowed: true},
		{from: "core/user", to: "flows"},
		{from: "core/user", to: "core/dbtest"},
		{from: "core/user", to: "core/user/usertest"},
		{from: "core/user", to: "core/user/usertest", test: true, allowed: true},
		{from: "core/user", to: "simulator/phone", test: true},
		{from: "flows", to: "flows/stages/password"},
		{from: "flows", to: "authenticators"},
		{from: "flows/stages/password", to: "flows", allowed: true},
		{from: "flows/stages/password", to: "flows/stages/identification"},
		{from: "flows/stages/password", to: "flows/stages/identification", test: true, allowed: true},
		{from: "flows/stages/password", to: "mobile", test: true},
		{from: "flows/stages/password", to: "flows/stages/password/inner", allowed: true},
		{from: "authenticators", to: "flows", allowed: true},
		{from: "authenticators/totp", to: "authenticators/static"},
		{from: "authenticators/totp", to: "mobile"},
		{from: "authenticators/validate", to: "authenticators/totp"},
		{from: "mobile", to: "push", allowed: true},
		{from: "mobile", to: "push/fcm"},
		{from: "mobile/wire", to: "github.com/google/uuid"},
		{from: "mobile/wire", to: "encoding/json", allowed: true},
		{from: "push", to: "mobile"},
		{from: "push/fcm", to: "push", allowed: true},
		{from: "push/fcm", to: "push/webpush"},
		{from: "simulator/phone", to: "mobile/wire", allowed: true},
		{from: "simulator/phone", to: "mobile"},
		{from: "simulator/phone", to: "core/secret", test: true},
		{from: "e2e/login", to: "cmd/app", test: true},
		{from: "e2e/login", to: "simulator/phone", test: true, allowed: true},
		{from: "e2e/login", to: "e2e/chromium", test: true, allowed: true},
		{from: "core/web", to: "e2e/chromium", test: true, allowed: true},
		{from: "core/web", to: "e2e/chromium"},
		{from: "core/web", to: "e2e/testbed", test: true},
		{from: "authenticators/webauthn", to: "e2e/chromium", test: true, allowed: true},
		{from: "authenticators/webauthn", to: "e2e/chromium"},
		{from: "cmd/app", to: "mobile", allowed: true},
		{from: "cmd/app", to: "core/dbtest"},
		{from: "cmd/app", to: "e2e/login"},
		{from: "mobile", to: "cmd/app"},
		{from: "elsewhere", to: "core/fault"},
	} {
		to := c.to
		if !strings.Contains(to, ".") && to != "encoding/json" {
			to = module + to
		}
		if why := forbidden(c.from, to, c.test); (why == "") != c.allowed {
			t.Errorf("%s imports %s (test: %v): %q, allowed should be %v", c.from, c.to, c.test, why, c.allowed)
		}
	}
}

package world_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"

	"countersign/simulator/world"
)

// playing has this test program play the server's: "database" and "serve".
const playing = "WORLD_TEST_PLAYS"

func TestMain(m *testing.M) {
	if os.Getenv(playing) == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	switch os.Args[1] {
	case "database":
		fmt.Println("PostgreSQL serves host=/somewhere user=me")
	case "serve":
		if os.Getenv("COUNTERSIGN_MOBILE_PUSHES") == "99" {
			fmt.Fprintln(os.Stderr, "mobile.pushes: 1 to 20")
			os.Exit(1)
		}
		address := os.Args[slices.Index(os.Args, "--listen")+1]
		l, err := net.Listen("tcp", address)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		go func() {
			_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/ready/") {
					w.WriteHeader(http.StatusNoContent)
					return
				}
				_, _ = io.WriteString(w, address+" "+os.Getenv("COUNTERSIGN_DATABASE_URL")+" "+os.Getenv("COUNTERSIGN_MOBILE_PUSHES"))
			}))
		}()
		fmt.Println("Countersign serves http://" + address)
	}
	<-ctx.Done()
}

func open(t *testing.T, settings map[string]any) (*world.World, error) {
	t.Helper()
	t.Setenv(playing, "1")
	return world.New(t.Context(), world.Options{Dir: t.TempDir(), Program: os.Args[0], Nodes: 2, Settings: settings}, []byte("{}"), "http://push.test")
}

// ask asks whichever node answers, on a fresh connection.
func ask(t *testing.T, w *world.World) (string, error) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DialContext: w.Dial, DisableKeepAlives: true}}
	res, err := client.Get(w.URL)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return string(text), err
}

func TestNodesDieAndComeBack(t *testing.T) {
	w, err := open(t, map[string]any{"mobile": map[string]any{"pushes": 20}})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	seen := map[string]bool{}
	for range 4 {
		text, err := ask(t, w)
		if err != nil || !strings.HasSuffix(text, " host=/somewhere user=me 20") {
			t.Fatalf("%q %v", text, err)
		}
		seen[text] = true
	}
	if len(seen) != 2 || len(w.PIDs()) != 2 || len(w.Nodes()) != 2 {
		t.Errorf("the nodes %v answer, of %v", seen, w.Nodes())
	}
	w.StopNode(1, true)
	for range 4 {
		if _, err := ask(t, w); err != nil {
			t.Errorf("with one node left: %v", err)
		}
	}
	w.StopNode(2, false)
	if _, err := ask(t, w); err == nil {
		t.Error("without nodes somebody answers")
	}
	for range 2 { // the second time it runs already
		if err := w.StartNode(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := ask(t, w); err != nil || !strings.HasPrefix(w.URL, "http://"+strings.Fields(text)[0]) {
		t.Errorf("%q %v: the node is not on its port again", text, err)
	}
	w.StopDatabase(true)
	if err := w.StartDatabase(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAProgramThatEndsSaysWhy(t *testing.T) {
	if _, err := open(t, map[string]any{"mobile.pushes": 99}); err == nil || !strings.Contains(err.Error(), "mobile.pushes: 1 to 20") {
		t.Errorf("%v", err)
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	if _, err := world.Find(t.Context(), "/nowhere/countersign", t.TempDir()); err == nil {
		t.Error("a program that is not there is found")
	}
	if got, err := world.Find(t.Context(), os.Args[0], t.TempDir()); err != nil || got != os.Args[0] {
		t.Errorf("%s %v", got, err)
	}
}

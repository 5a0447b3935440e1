package app_test

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptrace"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"

	"countersign/cmd/app"
	"countersign/core/dbtest"
	"countersign/core/user"
)

// timed are the durations of the same request for two kinds of people, in pairs: the two of a pair follow each other, so that the
// machine's noise hits both.
type timed struct{ a, b []time.Duration }

// tells whether a pair's first tends to take longer or shorter than its second by more than bound: the median of the differences is
// beyond it, and the sign test says that this is no accident (z > 4, one in 30,000). Neither mean nor variance are of use here: a
// request that the machine held up says nothing, and there are many.
func (x timed) tells(bound time.Duration) (median time.Duration, z float64, told bool) {
	var d []time.Duration
	longer := 0.
	for i := range x.a {
		d = append(d, x.a[i]-x.b[i])
		if d[i] > 0 {
			longer++
		}
	}
	slices.Sort(d)
	n := float64(len(d))
	median, z = d[len(d)/2], (2*longer-n)/math.Sqrt(n)
	return median, z, median.Abs() > bound && math.Abs(z) > 4
}

// The statistics find a round trip among noise that is much larger, and nothing where nothing is.
func TestTimingStatistics(t *testing.T) {
	t.Parallel()
	const trip = 100 * time.Microsecond
	r := rand.New(rand.NewPCG(1, 2))
	noise := func() time.Duration {
		n := time.Duration(r.ExpFloat64() * float64(200*time.Microsecond))
		if r.IntN(10) == 0 {
			n += time.Duration(r.IntN(20)) * time.Millisecond
		}
		return time.Millisecond + n
	}
	found, wrong := 0, 0
	for range 50 {
		var same, other timed
		for range pairs {
			same.a, same.b = append(same.a, noise()), append(same.b, noise())
			other.a, other.b = append(other.a, noise()+trip), append(other.b, noise())
		}
		if _, _, told := same.tells(trip / 2); told {
			wrong++
		}
		if _, _, told := other.tells(trip / 2); told {
			found++
		}
	}
	if found < 45 || wrong > 0 {
		t.Errorf("a round trip is found %d times of 50, and %d times where there is none", found, wrong)
	}
}

// pairs is how often each request is compared.
const pairs = 300

// T10: the times of a login tell nobody whether there is such a user, nor whether they have a phone. What TestTripsTellNothingOfUsers sees in
// the statements, this sees from outside: the bound is half a round trip to the database, as it is measured beside, so that one more
// is found, and so is a password that is not hashed. It has the process for itself: tests that run in parallel wait.
func TestTimesTellNothingOfUsers(t *testing.T) { //nolint:paralleltest // see above
	pool := dbtest.Pool(t)
	// A hash that is cheap, but not so cheap that its absence is lost among the noise.
	hasher, err := user.NewHasher(argon2id.Params{Memory: 1 << 10, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32}, 4)
	if err != nil {
		t.Fatal(err)
	}
	n := startWith(t, func(c *app.Config) { c.Database.URL = pool.Config().ConnString() }, func(o *app.Options) { o.Hasher = hasher })
	// Each round has people of its own: who fails often is refused unseen.
	for _, sql := range []string{
		`INSERT INTO users (uuid, username, password) SELECT gen_random_uuid(), kind || n, u.password
			FROM users u, unnest(ARRAY['phone', 'plain']) kind, generate_series(1000, 2000) n WHERE u.username = 'akadmin'`,
		`INSERT INTO mobile_devices (uuid, user_id, name, confirmed, device_uid, info, push_channel)
			SELECT gen_random_uuid(), id, 'phone', true, username, '{}', 'fcm' FROM users WHERE username LIKE 'phone%'`,
		`ANALYZE`,
	} {
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	steps := []string{"the page", "the name", "the page for the password", "a wrong password", "the page after that"}
	kinds := []string{"plain", "phone", "nobod"} // of one length
	login := func(name string) []time.Duration {
		var took []time.Duration
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Jar: jar, CheckRedirect: direct.CheckRedirect}
		for _, body := range []string{"", fmt.Sprintf(`{"uid_field":%q}`, name), "", `{"password":"wrong"}`, ""} {
			method := http.MethodGet
			if body != "" {
				method = http.MethodPost
			}
			var sent time.Time // as the client has a connection
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent = time.Now() }})
			req, err := http.NewRequestWithContext(ctx, method, n.base+loginExecutor, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_, err = io.Copy(io.Discard, res.Body)
			took = append(took, time.Since(sent))
			_ = res.Body.Close()
			if err != nil || res.StatusCode >= http.StatusBadRequest {
				t.Fatalf("%s: %d %v", body, res.StatusCode, err)
			}
		}
		return took
	}
	found := make([]map[string]timed, len(steps))
	for i := range found {
		found[i] = map[string]timed{}
	}
	var trips []time.Duration
	for round := range pairs + 20 {
		took := map[string][]time.Duration{}
		for i := range kinds { // each is first, second and third as often
			kind := kinds[(i+round)%len(kinds)]
			took[kind] = login(fmt.Sprintf("%s%d", kind, 1000+round))
		}
		began := time.Now()
		if _, err := pool.Exec(t.Context(), `SELECT 1`); err != nil {
			t.Fatal(err)
		}
		if round < 20 { // connections are made, statements prepared
			continue
		}
		trips = append(trips, time.Since(began))
		for i := range steps {
			for _, other := range kinds[1:] {
				x := found[i][other]
				found[i][other] = timed{append(x.a, took[other][i]), append(x.b, took[kinds[0]][i])}
			}
		}
	}
	slices.Sort(trips)
	trip := trips[len(trips)/2]
	for i, step := range steps {
		for kind, x := range found[i] {
			median, z, told := x.tells(trip / 2)
			t.Logf("%-26s %s: %8s, z %5.1f (a round trip takes %s)", step, kind, median, z, trip)
			if told {
				t.Errorf("%s: %q takes %s more than %q (z %.1f); a round trip to the database takes %s", step, kind, median, kinds[0], z, trip)
			}
		}
	}
}

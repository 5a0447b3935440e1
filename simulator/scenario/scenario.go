package scenario

import "time"

// Scenario is one case of a file: all of its words resolved.
//
// The tags: `yaml` is the name, `about` the words of the schema, `enum` the values of a text, `min` and `max` the bounds of a
// number or, as a duration, of a time; `required` says that it must be given.
type Scenario struct {
	Name    string            `yaml:"name" json:"name" required:"true" about:"Short name, in reports."`
	About   string            `yaml:"about" json:"about,omitempty" about:"What it shows, in a sentence."`
	Include []string          `yaml:"include" json:"-" about:"Files, relative to this one, whose words come first: their lists stand before this file's, its other words win."`
	Vars    map[string]any    `yaml:"vars" json:"-" about:"Values for ${name} anywhere in the file; --set name=value wins over them."`
	Matrix  map[string][]any  `yaml:"matrix" json:"-" about:"Lists of values for ${name}: the scenario is run once for each combination."`
	Seed    uint64            `yaml:"seed" json:"seed,omitempty" about:"Of every choice; 0 draws one, which is printed first."`
	Clock   string            `yaml:"clock" json:"clock" enum:"wall|virtual" about:"wall, the default, or virtual: the run takes no time, and equal seeds give equal logs. Virtual runs are against the built-in stand-in server."`
	Target  Target            `yaml:"target" json:"target" about:"The server."`
	Phones  []Phones          `yaml:"phones" json:"phones" about:"Groups of users, each with one phone."`
	Logins  []Logins          `yaml:"logins" json:"logins" about:"Streams of logins."`
	Faults  []Fault           `yaml:"faults" json:"faults,omitempty" about:"What goes wrong on the way, from when until when."`
	World   []Act             `yaml:"world" json:"world,omitempty" about:"What happens to servers and phones, and when."`
	Checks  []Check           `yaml:"checks" json:"checks,omitempty" about:"What must hold in the end; a failed one is exit code 1."`
	Limits  map[string][]Rule `yaml:"thresholds" json:"thresholds,omitempty" about:"Limits of metrics, as k6 writes them: login_duration: ['p(95)<500']. A crossed one is exit code 2."`

	Case map[string]string `yaml:"-" json:"case,omitempty"` // the values of the matrix
	Soak float64           `yaml:"-" json:"soak,omitempty"` // the growth of memory that is still well, where it is watched; 0: it is not
}

// Target is the server that is asked.
type Target struct {
	URL       string         `yaml:"url" json:"url,omitempty" about:"Of a running server; the token is given by COUNTERSIGN_TOKEN or --token."`
	Nodes     int            `yaml:"nodes" json:"nodes,omitempty" min:"1" max:"8" about:"Start so many nodes of our own on one database, instead of url."`
	StandIn   bool           `yaml:"stand_in" json:"stand_in,omitempty" about:"Use the built-in stand-in server, which has the least of the protocol."`
	Guarded   bool           `yaml:"guarded" json:"guarded,omitempty" about:"The stand-in, also where it takes the place of nodes of our own under a virtual clock, guards a phone against being rung too often, as they do by default."`
	Settings  map[string]any `yaml:"settings" json:"settings,omitempty" about:"Settings of the nodes, as in mobile.answer_window: 30s."`
	Stage     map[string]any `yaml:"stage" json:"stage,omitempty" about:"Fields of the validation stage of the login flow, for nodes of our own."`
	Mode      string         `yaml:"mode" json:"mode,omitempty" about:"How the answer is matched, for nodes of our own and the stand-in: accept_deny, number_matching_2, …"`
	Window    time.Duration  `yaml:"answer_window" json:"answer_window,omitempty" min:"1s" max:"10m" about:"How long a phone may answer, for nodes of our own and the stand-in."`
	LoginFlow string         `yaml:"login_flow" json:"login_flow,omitempty" about:"Slug of the login flow."`
	SetupFlow string         `yaml:"setup_flow" json:"setup_flow,omitempty" about:"Slug of the flow that sets a phone up."`
}

// Phones is a group of users with a phone each.
type Phones struct {
	Name     string        `yaml:"name" json:"name" required:"true" about:"Of the group."`
	Count    int           `yaml:"count" json:"count" required:"true" min:"1" max:"100000" about:"Users, each with one phone."`
	Kind     string        `yaml:"kind" json:"kind" enum:"stock|bearer|signing|verifying|passkey" about:"What the app can do: stock shows only what the push carries, bearer fetches and proves itself by its token, signing has keys, verifying and passkey have a second one behind the owner's finger. Default bearer."`
	Learns   string        `yaml:"learns" json:"learns" enum:"push|poll|socket" about:"How it learns that it is asked. Default push."`
	Platform string        `yaml:"platform" json:"platform,omitempty" enum:"android|ios|other" about:"What it says it is. Default android."`
	App      string        `yaml:"app" json:"app,omitempty" about:"Version of the app that it names."`
	Attests  string        `yaml:"attests" json:"attests,omitempty" about:"good, or what is wrong with the maker's word for its keys."`
	Skew     time.Duration `yaml:"skew" json:"skew,omitempty" min:"-24h" max:"24h" about:"Its clock is so far ahead; negative: behind."`
	OpensApp bool          `yaml:"opens_app" json:"opens_app,omitempty" about:"The person opens the app when the browser says that the push did not go out."`
	People   []Habit       `yaml:"people" json:"people" about:"What its person does, one drawn for each login. Default: approve."`
}

// Habit is one thing that people do.
type Habit struct {
	Do     string        `yaml:"do" json:"do" required:"true" about:"approve, deny, wrong_number, ignore, report, …"`
	Share  float64       `yaml:"share" json:"share" min:"0" about:"Relative to the others of the group. Default 1."`
	After  time.Duration `yaml:"after" json:"after,omitempty" min:"0s" max:"1h" about:"How long the person takes."`
	Param  string        `yaml:"param" json:"param,omitempty" about:"Of habits that take one."`
	Spread time.Duration `yaml:"spread" json:"spread,omitempty" min:"0s" max:"1h" about:"Up to so much longer, evenly drawn."`
	Expect string        `yaml:"expect" json:"expect,omitempty" enum:"approved|denied|wrong_number|expired|superseded|throttled|refused|no_phone|any" about:"The outcome that is right, where it is not the usual one; any judges nothing but approvals without an answer."`
}

// Logins is a stream of logins: open (rate: they come whatever the server does) or closed (people: one after another).
type Logins struct {
	Name    string        `yaml:"name" json:"name,omitempty" about:"Of the stream."`
	Phones  []string      `yaml:"phones" json:"phones,omitempty" about:"Groups that log in; default all."`
	From    time.Duration `yaml:"from" json:"from,omitempty" min:"0s" max:"168h" about:"Its begin."`
	Until   time.Duration `yaml:"until" json:"until,omitempty" min:"0s" max:"168h" about:"Its end; default when count is reached."`
	Count   int           `yaml:"count" json:"count,omitempty" min:"1" max:"100000000" about:"Logins in all; default as many as fit before until."`
	Rate    float64       `yaml:"rate" json:"rate,omitempty" min:"0.001" max:"100000" about:"Open: logins a second at the begin."`
	To      float64       `yaml:"to" json:"to,omitempty" min:"0.001" max:"100000" about:"Open: logins a second at the end, reached evenly. Default rate."`
	Arrival string        `yaml:"arrival" json:"arrival,omitempty" enum:"even|poisson" about:"Open: evenly spaced, the default, or as strangers come."`
	People  int           `yaml:"people" json:"people,omitempty" min:"1" max:"100000" about:"Closed: so many log in, one login after another each."`
	Pause   time.Duration `yaml:"pause" json:"pause,omitempty" min:"0s" max:"24h" about:"Closed: between a person's logins."`
	Known   bool          `yaml:"known_browser" json:"known_browser,omitempty" about:"Each person keeps to one browser, which the server so gets to know."`
	Browser Browser       `yaml:"browser" json:"browser" about:"How the browser side behaves."`
}

// Browser is how the browser side of a stream behaves.
type Browser struct {
	Page      bool          `yaml:"page" json:"page,omitempty" about:"Load the login page before its executor."`
	Think     time.Duration `yaml:"think" json:"think,omitempty" min:"0s" max:"1h" about:"Before the name is sent."`
	Leave     float64       `yaml:"leave" json:"leave,omitempty" min:"0" max:"1" about:"Share of logins whose person closes the browser."`
	LeaveAt   string        `yaml:"leave_after" json:"leave_after,omitempty" enum:"start|identify|select" about:"The step after which it is closed. Default select."`
	Reconnect bool          `yaml:"reconnect" json:"reconnect,omitempty" about:"On a broken connection load the page again, as a person does, and go on."`
}

// Fault is trouble on one hop. Where toxiproxy has a word for it, it is that word.
type Fault struct {
	Name         string        `yaml:"name" json:"name" required:"true" about:"In reports."`
	On           string        `yaml:"on" json:"on" required:"true" enum:"browser|phone|push|delivery" about:"browser: to the server; phone: to the server; push: from the server to the push service; delivery: from there to the phone."`
	From         time.Duration `yaml:"from" json:"from,omitempty" min:"0s" max:"168h" about:"Its begin."`
	Until        time.Duration `yaml:"until" json:"until,omitempty" min:"0s" max:"168h" about:"Its end; default with the run."`
	Toxicity     float64       `yaml:"toxicity" json:"toxicity" min:"0" max:"1" about:"Share of requests that meet it. Default 1."`
	Latency      time.Duration `yaml:"latency" json:"latency,omitempty" min:"0s" max:"10m" about:"Added to each request or message."`
	Jitter       time.Duration `yaml:"jitter" json:"jitter,omitempty" min:"0s" max:"10m" about:"Up to so much more or less."`
	Distribution string        `yaml:"distribution" json:"distribution,omitempty" enum:"even|normal|exponential|pareto" about:"Of the latency. even, the default: latency ± jitter; normal: jitter is the deviation; exponential and pareto: latency is the mean."`
	Bandwidth    int           `yaml:"bandwidth" json:"bandwidth,omitempty" min:"1" max:"1000000" about:"KB a second for each body."`
	SlowClose    time.Duration `yaml:"slow_close" json:"slow_close,omitempty" min:"0s" max:"10m" about:"The reply's end comes so much later."`
	Timeout      time.Duration `yaml:"timeout" json:"timeout,omitempty" min:"0s" max:"10m" about:"Nothing comes back, and after this time the connection is cut."`
	ResetPeer    bool          `yaml:"reset_peer" json:"reset_peer,omitempty" about:"The connection is reset at once."`
	Status       int           `yaml:"status" json:"status,omitempty" min:"400" max:"599" about:"The request is answered so, and does not reach the server."`
	RetryAfter   time.Duration `yaml:"retry_after" json:"retry_after,omitempty" min:"0s" max:"1h" about:"Header of that answer."`
	Error        string        `yaml:"error" json:"error,omitempty" enum:"UNREGISTERED|INVALID_ARGUMENT|INVALID_FIELD|SENDER_ID_MISMATCH|QUOTA_EXCEEDED|UNAVAILABLE|INTERNAL|THIRD_PARTY_AUTH_ERROR|UNAUTHENTICATED|PERMISSION_DENIED|RESET|HANG" about:"push: the push service's answer."`
	Quota        int           `yaml:"quota" json:"quota,omitempty" min:"1" about:"push: messages that it takes in per."`
	Per          time.Duration `yaml:"per" json:"per,omitempty" min:"1ms" max:"24h" about:"push: time of the quota. Default 1m."`
	Lose         float64       `yaml:"lose" json:"lose,omitempty" min:"0" max:"1" about:"Share that gets lost on the way."`
	Duplicate    float64       `yaml:"duplicate" json:"duplicate,omitempty" min:"0" max:"1" about:"Share that arrives twice."`
	Reorder      float64       `yaml:"reorder" json:"reorder,omitempty" min:"0" max:"1" about:"Share that is overtaken by the next."`
}

// Act is something that happens to servers or phones.
type Act struct {
	At    time.Duration `yaml:"at" json:"at" min:"0s" max:"168h" about:"When."`
	Do    string        `yaml:"do" json:"do" required:"true" enum:"kill_node|stop_node|start_node|kill_database|stop_database|start_database|lose_phones" about:"kill is -9, stop is a polite end."`
	Node  int           `yaml:"node" json:"node,omitempty" min:"1" max:"8" about:"Of the nodes, from 1."`
	Group string        `yaml:"phones" json:"phones,omitempty" about:"lose_phones: the group."`
	Share float64       `yaml:"share" json:"share,omitempty" min:"0" max:"1" about:"lose_phones: how many of the group, drawn. Default all."`
	When  int           `yaml:"when_waiting" json:"when_waiting,omitempty" min:"1" about:"Not before so many logins wait for their phone."`
}

// Package report draws the conclusions from a run's events: counts, percentiles, timelines and the verdict, as text, JSON, JUnit
// XML and one HTML file, and the comparison of two runs. It owns what is measured and how it is shown; the events are package
// event's, and what a scenario demands of the figures is package engine's, which asks [Collector.Value].
//
//	events ─▶ Collector ─▶ Summary ─▶ Text, JSON, JUnit, HTML
//	                          │
//	                 Summary ─┴─▶ Compare ─▶ Text, HTML
//
// Memory is bounded whatever the run's length: histograms of a fixed size, at most 600 points of time, and the steps of some
// logins only.
//
// A login's duration counts from when it was due, not from when it began: a server that stalls delays what
// comes behind it, and a percentile that leaves that wait out is too good (coordinated omission). What the server alone took is
// login_service_time.
package report

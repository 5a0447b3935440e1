// Package verdict is how a look at a server from outside is told, whoever looked: what was tried, what came of it, and what that
// means, on a terminal and as JUnit XML. It owns the outcomes and the forms; it draws no conclusion from what was tried but that
// one probe that does not hold breaks its case.
//
//	probes ─▶ Judge ─▶ held | broken | not applicable | not observable | failed ─▶ Paragraph, JUnit
package verdict

package attack

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"countersign/mobile/wire"
	"countersign/simulator/browser"
	"countersign/simulator/verdict"
)

var appAttacks = []Attack{
	{
		Name: "wrong-number", Proves: []string{"T1", "T3"}, run: wrongNumber,
		Does:    "answers with no number and with wrong ones, as a guessing thief of the phone would, and then with the right one",
		Expects: "no wrong number lets anybody in, and after the last try the right one does not either",
	},
	{
		Name: "tampered-answer", Proves: []string{"T6", "T16", "T20"}, run: tamperedAnswer,
		Does:    "a malicious app changes each field of the signed answer, signs it in other spellings, and sends another choice than it signed",
		Expects: "all are refused and change nothing: the good answer still counts",
	},
	{
		Name: "foreign-challenge", Proves: []string{"T24", "T16"}, run: foreignChallenge,
		Does:    "shows the owner something else than the server asked, and answers that; sends the phone questions that the server did not sign",
		Expects: "the server signs what it asks for this phone alone, takes no answer to anything else, and the phone shows nothing else",
	},
	{
		Name: "swapped-ids", Proves: []string{"T6"}, run: swappedIDs,
		Does:    "swaps phone, question, signature and choice between two live logins of two users",
		Expects: "no mixture counts, and neither login is let in by the other's answer",
	},
	{
		Name: "late-answer", Proves: []string{"T4"}, run: lateAnswer,
		Does:    "answers well, but to a login that a newer one replaced, and to one whose time is over",
		Expects: "both are refused, and nobody is let in",
	},
	{
		Name: "parallel-answers", Proves: []string{"T5"}, run: parallelAnswers,
		Does:    "sends a hundred good and identical answers at once",
		Expects: "exactly one counts",
	},
	{
		Name: "owner-key", Proves: []string{"T15"}, run: ownerKey,
		Does:    "approves with the key that needs no finger, as malware on the phone could",
		Expects: "where the server demands the owner's key, no other approves",
	},
}

// nobody is the id of no phone and no question.
const nobody = "00000000-0000-4000-8000-000000000000"

// notLetIn expects that a login was not let in.
func (t *trial) notLetIn(ctx context.Context, l *login, what string) error {
	result, err := l.end(ctx)
	if err != nil {
		return err
	}
	t.expect(!let(result), what, "%s %s", result.Outcome, result.Detail)
	return nil
}

func wrongNumber(ctx context.Context, t *trial) error {
	if t.target.Mode == wire.AcceptDeny {
		return verdict.Skip{Reason: "the server asks to accept or deny: there is no number, and so nothing to guess"}
	}
	v, err := t.victim(ctx, t.name)
	if err != nil {
		return err
	}
	l, q, err := t.ask(ctx, v)
	if err != nil {
		return err
	}
	for _, item := range []string{"", wire.ItemAccept} {
		in, err := v.app.answer(q, item)
		if err != nil {
			return err
		}
		got, err := v.app.respond(ctx, in)
		t.refused(fmt.Sprintf("an approval with %q in place of the number", item), got, err)
	}
	if q.Mode.Shows() {
		return t.wrongCode(ctx, v, l, q)
	}
	const most = 5
	tried := 0
	for range most {
		tried++
		in, err := v.app.answer(q, t.wrong(l, q))
		if err != nil {
			return err
		}
		got, err := v.app.respond(ctx, in)
		if err != nil {
			return err
		}
		if q.Mode.Picks() {
			break // it may not tell: the login does
		}
		refusal := wire.ParseRefusal(got.body)
		t.expect(refusal.Code == wire.WrongNumber, fmt.Sprintf("wrong number %d", tried), "%s", got)
		if refusal.AttemptsLeft == 0 {
			break
		}
		if tried == most {
			t.expect(false, "more wrong numbers", "%d were taken, and %d more would be", tried, refusal.AttemptsLeft)
		}
	}
	in, err := v.app.answer(q, l.right(q))
	if err != nil {
		return err
	}
	got, err := v.app.respond(ctx, in)
	t.refused("the right number, after the wrong", got, err)
	t.note("after %d wrong the question was over", tried)
	return t.notLetIn(ctx, l, "the login, after the wrong numbers")
}

// wrongCode types wrong codes in the browser, after the phone has approved.
func (t *trial) wrongCode(ctx context.Context, v *victim, l *login, q question) error {
	in, err := v.app.answer(q, l.right(q))
	if err != nil {
		return err
	}
	got, err := v.app.respond(ctx, in)
	if err := t.accepted("the owner's approval", got, err); err != nil {
		return err
	}
	for tried := 0; ; tried++ {
		select {
		case l.tab.code <- t.wrong(l, q):
			continue
		case result := <-l.done:
			t.expect(!let(result) && tried <= 5, fmt.Sprintf("%d wrong codes in the browser", tried), "%s %s", result.Outcome, result.Detail)
			t.note("after %d wrong codes the login was over", tried)
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func tamperedAnswer(ctx context.Context, t *trial) error {
	if !t.target.Keys {
		return verdict.Skip{Reason: "the server takes no signed answers: there is nothing to tamper with but the choice"}
	}
	v, err := t.victim(ctx, t.name)
	if err != nil {
		return err
	}
	l, q, err := t.ask(ctx, v)
	if err != nil {
		return err
	}
	right := l.right(q)
	good, err := v.app.answer(q, right)
	if err != nil {
		return err
	}
	contents, err := taken(good.Signed)
	if err != nil {
		return err
	}
	other, err := v.app.answer(question{Prompt: q.Prompt, digest: encode(make([]byte, 32))}, right)
	if err != nil {
		return err
	}
	ends := q.Expires.Unix()
	try := func(what string, in wire.Response) {
		got, err := v.app.respond(ctx, in)
		t.refused(what, got, err)
	}
	for _, change := range []struct {
		what, field string
		value       any
	}{
		{"for another act", "act", "deny"},
		{"for an act that is none", "act", "yes"},
		{"for another server", "aud", "https://phish.example/"},
		{"for another question text", "ch", encode(make([]byte, 32))},
		{"for a later end", "exp", ends + 3600},
		{"of another phone", "sub", nobody},
		{"to another question", "tx", nobody},
		{"as if by the other key", "use", string(wire.UsePossession)},
		{"of another version", "v", 2},
		{"with a field more", "extra", "1"},
		{"for another number", "item", t.other(l, q)},
	} {
		in := good
		in.Signed = v.app.verification.resigned(answerType, contents.with(change.field, change.value).text())
		try("an answer signed "+change.what, in)
	}
	text := string(contents.text())
	end := strconv.FormatInt(ends, 10)
	for _, spelling := range []struct{ what, text string }{
		{"with spaces", " " + text},
		{"with a field twice", `{"act":"deny",` + text[1:]},
		{"with a number as text", strings.Replace(text, end, `"`+end+`"`, 1)},
		{"with the fields swapped", `{"v":1,` + strings.Replace(text[1:], `,"v":1`, "", 1)},
		{"with an escape", strings.Replace(text, `"act"`, `"\u0061ct"`, 1)},
	} {
		in := good
		in.Signed = v.app.verification.resigned(answerType, []byte(spelling.text))
		try("an answer signed "+spelling.what, in)
	}
	in := good
	in.SelectedItem = wire.ItemDeny
	try("a denial, with the signature of an approval", in)
	in = good
	in.Signed = ""
	try("an approval without its signature", in)
	in.Signed = good.Signed[:len(good.Signed)-4] + "AAAA"
	try("an approval with a broken signature", in)
	in.Signed = other.Signed
	try("an approval of something else that was shown", in)
	t.note("no change to the answer was taken")
	return t.control(ctx, v, l, q)
}

// other is a choice other than the right one, for a signature that does not fit what is sent.
func (t *trial) other(l *login, q question) string {
	if wrong := t.wrong(l, q); wrong != "" {
		return wrong
	}
	return "other"
}

func foreignChallenge(ctx context.Context, t *trial) error {
	if !t.target.Keys {
		return verdict.Skip{Reason: "the server takes no phones with keys, and so signs nothing that it asks them"}
	}
	v, err := t.victim(ctx, t.name)
	if err != nil {
		return err
	}
	a := v.app
	l, q, err := t.ask(ctx, v)
	var unsigned forgedPrompt
	forgery := errors.As(err, &unsigned)
	t.expect(!forgery, "what the phone is asked is signed by the server, for this phone", "%v", unsigned.err)
	if forgery {
		return nil
	}
	if err != nil {
		return err
	}

	// What the malicious app showed its owner, who approves it.
	shown := q.Prompt
	shown.Context.Application, shown.Context.IP = "Your bank, which calls you", "203.0.113.9"
	theirs, err := newKey()
	if err != nil {
		return err
	}
	digest, err := shown.Digest(a.server, a.device)
	if err != nil {
		return err
	}
	in, err := a.answer(question{Prompt: q.Prompt, digest: digest}, l.right(q))
	if err != nil {
		return err
	}
	got, err := a.respond(ctx, in)
	t.refused("an approval of another text than the server's", got, err)

	// What a push service, or whoever has its credentials, could have a phone fetch.
	forged, err := theirs.SignPrompt(shown, a.server, a.device)
	if err != nil {
		return err
	}
	for _, one := range []struct{ what, challenge, device string }{
		{"a question of another server", forged, a.device},
		{"a question without signature", q.Challenge[:strings.LastIndexByte(q.Challenge, '.')+1], a.device},
		{"a question for another phone", q.Challenge, nobody},
	} {
		_, _, err := a.serverKey.CheckPrompt(one.challenge, a.server, one.device)
		t.expect(err != nil, "the phone is given "+one.what, "it shows it: %v", err == nil)
	}
	t.note("the server's questions are signed, and nothing else was shown or taken")
	return t.control(ctx, v, l, q)
}

func swappedIDs(ctx context.Context, t *trial) error {
	var v [2]*victim
	var l [2]*login
	var q [2]question
	for i := range v {
		var err error
		if v[i], err = t.victim(ctx, t.name+"-"+strconv.Itoa(i)); err != nil {
			return err
		}
		if l[i], q[i], err = t.ask(ctx, v[i]); err != nil {
			return err
		}
	}
	for i := range v {
		a, b := v[i].app, v[1-i].app
		ours, theirs := q[i], q[1-i]
		item := l[1-i].right(theirs)
		who := fmt.Sprintf("user %d: ", i+1)

		in, err := a.answer(question{Prompt: theirs.Prompt, digest: theirs.digest}, item)
		if err != nil {
			return err
		}
		got, err := a.respond(ctx, in)
		t.refused(who+"their phone answers the other's question", got, err)

		c := a.good(wire.ActionResponse, in)
		c.device = b.device
		got, err = a.do(ctx, c)
		t.refused(who+"their phone answers the other's question in the other phone's place", got, err)

		in, err = a.answer(ours, l[i].right(ours))
		if err != nil {
			return err
		}
		in.TxID = theirs.TxID
		got, err = a.respond(ctx, in)
		t.refused(who+"their answer, sent to the other's question", got, err)
		got, err = b.respond(ctx, in)
		t.refused(who+"their answer, sent by the other phone to its question", got, err)

		if t.target.Keys {
			in, err = b.answer(theirs, item)
			if err != nil {
				return err
			}
			in.TxID, in.SelectedItem = ours.TxID, l[i].right(ours)
			got, err = a.respond(ctx, in)
			t.refused(who+"the other's signature on their question", got, err)
		}
	}
	for i := range v {
		select {
		case result := <-l[i].done:
			l[i].done <- result
			t.expect(!let(result), fmt.Sprintf("the login of user %d, before its own answer", i+1), "%s %s", result.Outcome, result.Detail)
			return nil
		default:
		}
		if err := t.control(ctx, v[i], l[i], q[i]); err != nil {
			return err
		}
	}
	t.note("no mixture of two logins counted, and each was let in by its own answer")
	return nil
}

func lateAnswer(ctx context.Context, t *trial) error {
	v, err := t.victim(ctx, t.name)
	if err != nil {
		return err
	}
	first, old, err := t.ask(ctx, v)
	if err != nil {
		return err
	}
	second, q, err := t.ask(ctx, v)
	if err != nil {
		return fmt.Errorf("a second login: %w", err)
	}
	in, err := v.app.answer(old, first.right(old))
	if err != nil {
		return err
	}
	got, err := v.app.respond(ctx, in)
	t.refused("a good answer to the login that a newer one replaced", got, err)
	if err := t.notLetIn(ctx, first, "the login that was replaced"); err != nil {
		return err
	}
	window := q.Expires.Sub(q.Created)
	t.expect(window <= 10*time.Minute, "how long a question may be answered", "%s", window)
	left := time.Until(q.Expires)
	if left > t.o.Patience {
		second.abandon()
		t.note("replaced questions were refused; the time of one, %s, is longer than the patience of %s", window, t.o.Patience)
		return nil
	}
	if err := t.pause(ctx, left+time.Second); err != nil {
		return err
	}
	if in, err = v.app.answer(q, second.right(q)); err != nil {
		return err
	}
	got, err = v.app.respond(ctx, in)
	t.refused(fmt.Sprintf("a good answer a second after the %s that the question had", window), got, err)
	t.note("neither the replaced question nor the expired one took an answer")
	return t.notLetIn(ctx, second, "the login whose time is over")
}

func parallelAnswers(ctx context.Context, t *trial) error {
	v, err := t.victim(ctx, t.name)
	if err != nil {
		return err
	}
	l, q, err := t.ask(ctx, v)
	if err != nil {
		return err
	}
	in, err := v.app.answer(q, l.right(q))
	if err != nil {
		return err
	}
	calls := make([]func() (reply, error), crowd)
	for i := range calls {
		calls[i] = func() (reply, error) { return v.app.respond(ctx, in) }
	}
	won, err := atOnce(calls)
	if err != nil {
		return err
	}
	t.expect(won == 1, fmt.Sprintf("%d identical answers at once", crowd), "%d were taken", won)
	if err := l.typed(ctx, q); err != nil {
		return err
	}
	result, err := l.end(ctx)
	if err != nil {
		return err
	}
	t.expect(result.Outcome == browser.Approved, "the login that they are for", "%s %s", result.Outcome, result.Detail)
	t.note("of %d answers one was taken", crowd)
	return nil
}

func ownerKey(ctx context.Context, t *trial) error {
	if t.target.Demanded != "signed_user_verified" {
		return verdict.Skip{Reason: "the server takes answers that need no finger: it demands " + t.target.Demanded + ", not signed_user_verified"}
	}
	v, err := t.victim(ctx, t.name)
	if err != nil {
		return err
	}
	l, q, err := t.ask(ctx, v)
	if err != nil {
		return err
	}
	malware := &app{http: v.app.http, server: v.app.server, device: v.app.device, token: v.app.token, possession: v.app.possession, nonce: v.app.lastNonce()}
	in, err := malware.answer(q, l.right(q))
	if err != nil {
		return err
	}
	got, err := malware.respond(ctx, in)
	t.refused("an approval by the key that needs no finger", got, err)
	contents, err := taken(in.Signed)
	if err != nil {
		return err
	}
	in.Signed = malware.possession.resigned(answerType, contents.with("use", string(wire.UseVerification)).text())
	got, err = malware.respond(ctx, in)
	t.refused("the same, which says that it is the owner's key", got, err)
	t.note("only the owner's key approved")
	return t.control(ctx, v, l, q)
}

package attack

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"countersign/mobile/wire"
	"countersign/simulator/verdict"
)

var paymentAttacks = []Attack{
	{
		Name: "tampered-payment", Proves: []string{"T16"}, run: tamperedPayment,
		Does:    "has the owner approve a payment, and changes the amount, the payee and each other field between what was signed and what is answered",
		Expects: "only an approval of exactly what the server signed counts",
	},
}

const approvals = "/authenticators/mobile/approvals/"

// payment is what the application asks to be approved.
func payment() wire.Transaction {
	return wire.Transaction{
		Title: "Pay an invoice", Amount: &wire.Amount{Currency: "EUR", Value: "1234.50"}, Payee: "Müller & Söhne", Text: "Invoice 117",
		Fields: []wire.TransactionField{{Label: "IBAN", Value: "DE02 1203 0000"}},
	}
}

// payments are payments that differ from what was asked in one thing each.
func payments() []struct {
	what string
	wire.Transaction
} {
	var out []struct {
		what string
		wire.Transaction
	}
	add := func(what string, change func(*wire.Transaction)) {
		t := payment()
		t.Fields = slices.Clone(t.Fields)
		change(&t)
		out = append(out, struct {
			what string
			wire.Transaction
		}{what, t})
	}
	add("another amount", func(t *wire.Transaction) { t.Amount = &wire.Amount{Currency: "EUR", Value: "1.00"} })
	add("another currency", func(t *wire.Transaction) { t.Amount = &wire.Amount{Currency: "USD", Value: "1234.50"} })
	add("no amount", func(t *wire.Transaction) { t.Amount = nil })
	add("another payee", func(t *wire.Transaction) { t.Payee = "Mallory" })
	add("another title", func(t *wire.Transaction) { t.Title = "Get a prize" })
	add("another text", func(t *wire.Transaction) { t.Text = "Invoice 118" })
	add("another account", func(t *wire.Transaction) { t.Fields[0].Value = "DE02 1203 9999" })
	add("a field less", func(t *wire.Transaction) { t.Fields = nil })
	add("a field more", func(t *wire.Transaction) {
		t.Fields = append(t.Fields, wire.TransactionField{Label: "Note", Value: "urgent"})
	})
	return out
}

func tamperedPayment(ctx context.Context, t *trial) error {
	if !t.target.Keys {
		return verdict.Skip{Reason: "the server takes no signed answers, and so nothing but logins can be approved"}
	}
	v, err := t.victim(ctx, t.name)
	if err != nil {
		return err
	}
	var made struct{ ID, Status string }
	asked := payment()
	err = t.admin.Call(ctx, http.MethodPost, approvals, map[string]any{"user": v.id, "reference": t.name, "expires_in": 120, "fields": asked}, &made)
	if err != nil {
		return verdict.Skip{Reason: "the server's API has no payments approved: " + excerpt(err)}
	}
	list, err := v.app.pending(ctx)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(list, func(q question) bool { return q.TxID == made.ID })
	if at < 0 || list[at].Transaction == nil {
		t.expect(false, "the phone is asked", "%d questions, none of them the payment", len(list))
		return nil
	}
	q := list[at]
	t.expect(slices.Equal(q.Transaction.Lines(), asked.Lines()), "what the phone shows, from the signed bytes", "%v", q.Transaction.Lines())
	answer := func(shown wire.Prompt) (reply, error) {
		digest, err := shown.Digest(v.app.server, v.app.device)
		if err != nil {
			return reply{}, err
		}
		in, err := v.app.answer(question{Prompt: q.Prompt, digest: digest}, wire.ItemAccept)
		if err != nil {
			return reply{}, err
		}
		return v.app.respond(ctx, in)
	}
	for _, other := range payments() {
		shown := q.Prompt
		shown.Transaction = &other.Transaction
		got, err := answer(shown)
		t.refused("an approval that was given to "+other.what, got, err)
	}
	login := q.Prompt
	login.Transaction = nil
	got, err := answer(login)
	t.refused("an approval that was given to a login", got, err)
	for _, want := range []string{"pending", "approved"} {
		if want == "approved" {
			got, err := answer(q.Prompt)
			if err := t.accepted("the owner's approval", got, err); err != nil {
				return err
			}
		}
		if err := t.admin.Call(ctx, http.MethodGet, fmt.Sprintf("%s%s/", approvals, made.ID), nil, &made); err != nil {
			return err
		}
		t.expect(made.Status == want, "how the payment stands then", "%s", made.Status)
	}
	t.note("only the payment that was shown was approved")
	return nil
}

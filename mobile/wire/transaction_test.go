package wire

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
)

// payment is a transaction with everything that one can have.
func payment() Transaction {
	return Transaction{
		Title: "Pay an invoice", Amount: &Amount{Currency: "EUR", Value: "1234567.50"}, Payee: "Müller & Söhne", Text: "Invoice 2026-117, due on 1 March",
		Fields: []TransactionField{{"IBAN", "DE02 1203 0000 0000 2020 51"}, {"From account", "Household"}},
	}
}

// displayVector is one example of what a phone displays: of the signed text, the lines; or that it must refuse it.
type displayVector struct {
	Name    string `json:"name"`
	Payload string `json:"payload"` // the challenge's, unencoded
	Lines   []Line `json:"lines"`   // null: it is refused
}

func displayVectors(t testing.TB) []displayVector {
	t.Helper()
	var out []displayVector
	for _, x := range []struct {
		name string
		t    Transaction
	}{
		{"a payment", payment()},
		{"a title alone", Transaction{Title: "Delete the archive"}},
		{"yen have no cents", Transaction{Title: "Pay", Amount: &Amount{"JPY", "50000"}}},
		{"yen with cents", Transaction{Title: "Pay", Amount: &Amount{"JPY", "500.00"}}},
		{"dinars have three digits", Transaction{Title: "Pay", Amount: &Amount{"KWD", "0.125"}}},
		{"euros with one digit", Transaction{Title: "Pay", Amount: &Amount{"EUR", "12.5"}}},
		{"a comma", Transaction{Title: "Pay", Amount: &Amount{"EUR", "12,50"}}},
		{"a sign", Transaction{Title: "Pay", Amount: &Amount{"EUR", "-12.50"}}},
		{"leading zeros", Transaction{Title: "Pay", Amount: &Amount{"EUR", "0012.50"}}},
		{"an exponent", Transaction{Title: "Pay", Amount: &Amount{"EUR", "1e3.00"}}},
		{"digits of another script", Transaction{Title: "Pay", Amount: &Amount{"EUR", "١٢.٥٠"}}},
		{"a currency in small letters", Transaction{Title: "Pay", Amount: &Amount{"eur", "12.50"}}},
		{"Hebrew", Transaction{Title: "תשלום", Payee: "דוד"}},
		{"text that is turned round", Transaction{Title: "Pay", Payee: "Bob\u202e05.21 RUE"}},
		{"an isolate", Transaction{Title: "Pay", Payee: "Bob\u2066x\u2069"}},
		{"a line break", Transaction{Title: "Pay", Text: "to Bob\nAmount 1.00 EUR"}},
		{"a NUL", Transaction{Title: "Pay", Text: "a\x00b"}},
		{"a zero-width space", Transaction{Title: "Pay", Payee: "Bo\u200bb"}},
		{"a soft hyphen", Transaction{Title: "Pay", Payee: "Bo\u00adb"}},
		{"a Hangul filler", Transaction{Title: "Pay", Payee: "Bo\u3164b"}},
		{"spaces that push the rest away", Transaction{Title: "Pay", Payee: "Bob" + strings.Repeat(" ", 50) + "Eve"}},
		{"the longest text", Transaction{Title: "Read", Text: strings.Repeat("é", MaxTransactionText)}},
		{"a longer one", Transaction{Title: "Read", Text: strings.Repeat("é", MaxTransactionText+1)}},
		{"a label that is taken", Transaction{Title: "Pay", Amount: &Amount{"EUR", "1.00"}, Fields: []TransactionField{{"Amount", "9.00 EUR"}}}},
		{"a label twice", Transaction{Title: "Pay", Fields: []TransactionField{{"A", "1"}, {"A", "2"}}}},
		{"no title", Transaction{Payee: "Bob"}},
	} {
		p := prompt
		p.Transaction = &x.t
		payload, err := p.payload(server, device)
		if err != nil {
			t.Fatal(err)
		}
		v := displayVector{Name: x.name, Payload: string(payload)}
		if x.t.Validate() == nil {
			v.Lines = x.t.Lines()
		}
		out = append(out, v)
	}
	return out
}

// T16: what a phone displays is made of the signed bytes and of nothing else, and what could be read in two ways is refused.
func TestDisplayVectors(t *testing.T) {
	t.Parallel()
	const file = "testdata/display.json"
	if *update {
		var out bytes.Buffer
		enc := json.NewEncoder(&out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(displayVectors(t)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []displayVector
	if err := json.Unmarshal(text, &all); err != nil || !reflect.DeepEqual(all, displayVectors(t)) {
		t.Fatalf("the vectors in %s are not those of this code: %v", file, err)
	}
	s := signers(t)["ES256"]
	refused := 0
	for _, v := range all {
		compact, err := s.sign(typeChallenge, []byte(v.Payload), false)
		if err != nil {
			t.Fatal(err)
		}
		p, digest, err := s.CheckPrompt(compact, server, device)
		if v.Lines == nil {
			refused++
			if err == nil {
				t.Errorf("%s is shown as %q", v.Name, p.Transaction.Lines())
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(p.Transaction.Lines(), v.Lines) || digest != hash([]byte(v.Payload)) {
			t.Errorf("%s: %v", v.Name, err)
		}
	}
	if refused < 15 || refused == len(all) {
		t.Errorf("%d of %d are refused", refused, len(all))
	}
}

// T16: an answer to a transaction answers no other one, whichever field differs.
func TestAnswersBindTheTransaction(t *testing.T) {
	t.Parallel()
	p := prompt
	shown := payment()
	p.Transaction = &shown
	digest, err := p.Digest(server, device)
	if err != nil {
		t.Fatal(err)
	}
	answer := answerTo(t, Approve, "456")
	answer.Digest = digest
	if err := answer.Of(p, server, device); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Transaction){
		"title":       func(x *Transaction) { x.Title += "." },
		"value":       func(x *Transaction) { x.Amount.Value = "1234567.51" },
		"currency":    func(x *Transaction) { x.Amount.Currency = "USD" },
		"no amount":   func(x *Transaction) { x.Amount = nil },
		"payee":       func(x *Transaction) { x.Payee = "Muller & Söhne" },
		"text":        func(x *Transaction) { x.Text = "" },
		"label":       func(x *Transaction) { x.Fields[0].Label = "Account" },
		"field":       func(x *Transaction) { x.Fields[1].Value = "Savings" },
		"order":       func(x *Transaction) { x.Fields[0], x.Fields[1] = x.Fields[1], x.Fields[0] },
		"field less":  func(x *Transaction) { x.Fields = x.Fields[:1] },
		"other field": func(x *Transaction) { x.Payee, x.Text = x.Text, x.Payee },
	} {
		other := payment()
		change(&other)
		p.Transaction = &other
		if answer.Of(p, server, device) == nil {
			t.Errorf("%s: the answer holds for another transaction", name)
		}
	}
	p.Transaction = nil
	if answer.Of(p, server, device) == nil {
		t.Error("the answer holds for a login")
	}
}

// A challenge about a transaction is of a version of its own, so that a phone that does not know it shows no login.
func TestTransactionsHaveAVersion(t *testing.T) {
	t.Parallel()
	p := prompt
	shown := payment()
	p.Transaction = &shown
	payload, err := p.payload(server, device)
	if err != nil {
		t.Fatal(err)
	}
	s := signers(t)["ES256"]
	for _, text := range []string{
		strings.Replace(string(payload), `"v":2`, `"v":1`, 1),
		strings.Replace(string(payload), `"apr":{`, `"apx":{`, 1),
	} {
		if text == string(payload) {
			t.Fatal("nothing was replaced")
		}
		compact, err := s.sign(typeChallenge, []byte(text), false)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.CheckPrompt(compact, server, device); err == nil {
			t.Errorf("%s is shown", text)
		}
	}
}

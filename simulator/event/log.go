package event

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
)

const maxLine = 4 << 20

// Log is a Sink that writes JSON Lines.
//
// Under a virtual clock many things happen at one instant, in an order that is the scheduler's and not the scenario's. An
// ordered log therefore holds back the lines of an instant and writes them by login, then who did it, then phone, in the order
// in which each of these did them, or for a phone, which does several things at once, would do them: equal runs have equal logs,
// byte for byte.
type Log struct {
	mu      sync.Mutex
	w       *bufio.Writer
	ordered bool
	held    []Event
	instant Millis // whose lines are held
	err     error
}

// NewLog makes a log on w. Close it.
func NewLog(w io.Writer, ordered bool) *Log { return &Log{w: bufio.NewWriter(w), ordered: ordered} }

// Take writes e, or holds it back until its instant is over. An error is kept for Close: a full disk ends the log and not
// the run.
func (l *Log) Take(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ordered {
		l.write(e)
		return
	}
	if e.At > l.instant { // an earlier one tells now of what was then, as of a login that had to wait
		l.release()
		l.instant = e.At
	}
	l.held = append(l.held, e)
}

func (l *Log) release() {
	slices.SortStableFunc(l.held, func(a, b Event) int {
		return cmp.Or(a.Kind.act()-b.Kind.act(), a.Login-b.Login, a.Kind.actor()-b.Kind.actor(), a.Phone-b.Phone, a.turn()-b.turn())
	})
	for _, e := range l.held {
		l.write(e)
	}
	l.held = l.held[:0]
}

func (l *Log) write(e Event) {
	if l.err != nil {
		return
	}
	text, err := json.Marshal(e)
	if err == nil {
		_, err = l.w.Write(append(text, '\n'))
	}
	l.err = err
}

// Err is the first error of writing, nil if there was none so far.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Close writes what is held back and returns the first error of writing.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.release()
	if l.err == nil {
		l.err = l.w.Flush()
	}
	if l.err != nil {
		return fmt.Errorf("write event log: %w", l.err)
	}
	return nil
}

// Read hands each line of a log to take. It fails on what is no log, and says at which line; a log that breaks off, as a
// killed run leaves it, is read as far as it goes and ends with io.ErrUnexpectedEOF.
func Read(r io.Reader, take func(Event) error) error {
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxLine)
	var last Kind
	var broken error
	for line := 1; s.Scan(); line++ {
		if broken != nil {
			return broken // it was not the last line
		}
		var e Event
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			broken = fmt.Errorf("read event log: line %d: %w", line, err)
			continue
		}
		if line == 1 && (e.Kind != RunBegun || e.Header == nil) {
			return errors.New("read event log: line 1: not the begin of a run")
		}
		if line == 1 && e.Header.Format != Format {
			return fmt.Errorf("read event log: format %d, this version reads %d", e.Header.Format, Format)
		}
		last = e.Kind
		if err := take(e); err != nil {
			return err
		}
	}
	switch {
	case s.Err() != nil:
		return fmt.Errorf("read event log: %w", s.Err())
	case last == "" && broken != nil:
		return broken
	case last == "":
		return errors.New("read event log: it is empty")
	case last != RunEnded:
		return fmt.Errorf("read event log: %w", io.ErrUnexpectedEOF)
	}
	return nil
}

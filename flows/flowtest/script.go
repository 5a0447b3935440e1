package flowtest

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/google/uuid"

	"countersign/core/resource"
	"countersign/flows"
)

// Script is a stage made of two functions. A nil Begin shows the component "ak-test-<model>"; a nil Answer passes.
type Script struct {
	Begin  func(ctx context.Context, run *flows.Run) (flows.Outcome, error)
	Answer func(ctx context.Context, run *flows.Run, a flows.Answer) (flows.Outcome, error)
}

// Asked is the challenge of a Script.
type Asked struct {
	flows.WithUser
	Text string `json:"text,omitempty"`
}

type scriptRow struct {
	flows.StageRow
	scriptSettings `db:"settings"`
}

type scriptSettings struct {
	Fail bool `json:"fail"` // the stage cannot be built
}

type scripted struct {
	model string
	Script
}

// Component is the component of a Script's challenge.
func Component(model string) string { return "ak-test-" + model }

// Ask makes the challenge of a Script.
func Ask(model, text string) flows.Outcome {
	c := &Asked{Text: text}
	c.Component = Component(model)
	return flows.Show(c)
}

func (s scripted) Begin(ctx context.Context, run *flows.Run) (flows.Outcome, error) {
	if s.Script.Begin == nil {
		return Ask(s.model, ""), nil
	}
	return s.Script.Begin(ctx, run)
}

func (s scripted) Answer(ctx context.Context, run *flows.Run, a flows.Answer) (flows.Outcome, error) {
	if s.Script.Answer == nil {
		return flows.Next(), nil
	}
	return s.Script.Answer(ctx, run, a)
}

// Kind makes a kind of stage from a script.
func Kind(model string, s Script) *flows.Kind {
	return flows.NewKind(
		resource.KindInfo{Name: model, App: "test", Label: model + " Setup Stage", Component: "test-" + model},
		func(r *scriptRow) *flows.StageRow { return &r.StageRow }, resource.Def[scriptRow]{Path: "/stages/" + model + "/"},
		func(_ uuid.UUID, _ string, settings scriptSettings) (flows.Stage, error) {
			if settings.Fail {
				return nil, errors.New("settings that no stage can be made of")
			}
			return scripted{model, s}, nil
		},
	)
}

// Marker is a stage that counts what it is asked; put behind another it shows what came through.
type Marker struct{ Begun, Answered atomic.Int64 }

// Kind is the marker's kind of stage.
func (m *Marker) Kind(model string) *flows.Kind {
	return Kind(model, Script{
		Begin: func(context.Context, *flows.Run) (flows.Outcome, error) {
			m.Begun.Add(1)
			return Ask(model, ""), nil
		},
		Answer: func(context.Context, *flows.Run, flows.Answer) (flows.Outcome, error) {
			m.Answered.Add(1)
			return flows.Next(), nil
		},
	})
}

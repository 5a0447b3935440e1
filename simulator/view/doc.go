// Package view shows a run in a terminal while it goes on, and lets its person steer it by keys. It owns the layout and the keys;
// what it shows is a desk.Snapshot, and what the keys do is a desk.Control's. Where there is no terminal it writes a line now and
// then instead.
//
//	watching ─ p pause, resume ─ s one login more ─ q ▶ ErrQuit: the run is to end, with its report
//	   │ t number Enter
//	   ▼
//	holding a phone ─ 1 2 3 … answer ─ d deny ─ r give it back ─ Esc ▶ watching
package view

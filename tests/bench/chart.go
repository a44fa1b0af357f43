// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"image/color"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	_ "gonum.org/v1/plot/vg/vgsvg" // draws .svg files
)

// The size of a chart.
const (
	width  = 7 * vg.Inch
	height = 3.5 * vg.Inch
)

// hue is the colour of a subject in all charts.
func hue(subject string) color.Color {
	switch subject {
	case "raw":
		return color.RGBA{R: 0x99, G: 0x99, B: 0x99, A: 0xff}
	case "native":
		return color.RGBA{R: 0x32, G: 0x6c, B: 0xe5, A: 0xff}
	default:
		return color.RGBA{R: 0xe0, G: 0x6c, B: 0x1f, A: 0xff}
	}
}

// draw writes the charts of a run as SVG files.
func (r results) draw(dir string) error {
	steps := []string{scaleOut, inPlace, inPlace10, recreate, scaleIn, manySets, manyUpdate}
	for _, chart := range []func() (string, *plot.Plot, error){
		func() (string, *plot.Plot, error) {
			p, err := r.columns("Pods a second (more is better)", steps, figures.rate)
			return "rate.svg", p, err
		},
		func() (string, *plot.Plot, error) {
			p, err := r.columns("Writes for each Pod (fewer is better)", steps, figures.writesPerPod)
			return "writes.svg", p, err
		},
		func() (string, *plot.Plot, error) {
			p, err := r.way("Scale out: ready Pods", scaleOut)
			return "scale-out.svg", p, err
		},
		func() (string, *plot.Plot, error) {
			p, err := r.way("In place, all at once: Pods ready with the new image", inPlace)
			return "in-place.svg", p, err
		},
		func() (string, *plot.Plot, error) {
			p, err := r.growth()
			return "growth.svg", p, err
		},
	} {
		name, p, err := chart()
		if err != nil {
			return fmt.Errorf("drawing %s: %w", name, err)
		}
		if p == nil {
			continue
		}
		if err := p.Save(width, height, filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("drawing %s: %w", name, err)
		}
	}
	return nil
}

// newPlot is an empty chart on white, so that it can be read on a dark page too.
func newPlot(title string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.BackgroundColor = title, color.White
	p.Y.Min = 0
	p.Legend.Top = true
	p.Add(plotter.NewGrid())
	return p
}

// columns draws one value of all scenarios, a column for each subject.
func (r results) columns(title string, steps []string, value func(figures) float64) (*plot.Plot, error) {
	p := newPlot(title)
	var shown []string
	for _, s := range steps {
		if r.of(s, "ours") != nil {
			shown = append(shown, s)
		}
	}
	if len(shown) == 0 {
		return nil, nil
	}
	const columnWidth = 14
	for i, subject := range []string{"raw", "native", "ours"} {
		var values plotter.Values
		for _, s := range shown {
			v, _ := r.median(s, subject, value)
			values = append(values, v)
		}
		bars, err := plotter.NewBarChart(values, vg.Points(columnWidth))
		if err != nil {
			return nil, err
		}
		bars.Color, bars.LineStyle.Width, bars.Offset = hue(subject), 0, vg.Points(float64(i-1)*columnWidth)
		p.Add(bars)
		p.Legend.Add(subject, bars)
	}
	p.NominalX(shown...)
	return p, nil
}

// way draws how many Pods had got there over time, in the first round.
func (r results) way(title, scenario string) (*plot.Plot, error) {
	p := newPlot(title)
	p.X.Label.Text, p.Legend.Top, p.Legend.Left = "seconds", true, true
	drawn := false
	for _, subject := range []string{"raw", "native", "ours"} {
		rounds := r.of(scenario, subject)
		if len(rounds) == 0 {
			continue
		}
		points := plotter.XYs{}
		for _, w := range rounds[0].Way {
			points = append(points, plotter.XY{X: w.Seconds, Y: float64(w.Pods)})
		}
		line, err := plotter.NewLine(points)
		if err != nil {
			return nil, err
		}
		line.Color, line.Width = hue(subject), vg.Points(2)
		p.Add(line)
		p.Legend.Add(subject, line)
		drawn = true
	}
	if !drawn {
		return nil, nil
	}
	return p, nil
}

// growth draws the memory, and all processor time so far, against the Pods of one set.
func (r results) growth() (*plot.Plot, error) {
	steps := r.of(growth, "ours")
	if len(steps) == 0 {
		return nil, nil
	}
	p := newPlot("One set grows")
	p.X.Label.Text, p.Legend.Left = "Pods", true
	var memory, used plotter.XYs
	cpu := 0.0
	for _, f := range steps {
		cpu += f.CPUSeconds
		memory = append(memory, plotter.XY{X: float64(reached(f)), Y: f.MemoryMiB})
		used = append(used, plotter.XY{X: float64(reached(f)), Y: cpu})
	}
	for _, series := range []struct {
		name   string
		points plotter.XYs
		hue    color.Color
	}{{"memory, MiB", memory, hue("native")}, {"processor time, seconds", used, hue("ours")}} {
		line, marks, err := plotter.NewLinePoints(series.points)
		if err != nil {
			return nil, err
		}
		line.Color, line.Width, marks.Color = series.hue, vg.Points(2), series.hue
		p.Add(line, marks)
		p.Legend.Add(series.name, line)
	}
	return p, nil
}

// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package cloneset_test

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/keelson/keelson/api/apps/pub"
	kruisev1beta1 "github.com/keelson/keelson/api/apps/v1beta1"
	"github.com/keelson/keelson/controllers/plan/lifecycle"
	"github.com/keelson/keelson/controllers/plan/readiness"
	"github.com/keelson/keelson/controllers/plan/sim"
)

// changeHooks sets hooks of all kinds: labels, finalizers, both, one for several purposes, those that mark their Pods not ready.
func (c *chaos) changeHooks(b *builder) string {
	if b.set.Spec.Lifecycle != nil && c.rand.IntN(2) == 0 {
		b.set.Spec.Lifecycle = nil
		return "removes the hooks"
	}
	b.Lifecycle(pub.Lifecycle{PreDelete: c.randomHook("delete"), InPlaceUpdate: c.randomHook("update"), PreNormal: c.randomHook("normal")})
	l := b.set.Spec.Lifecycle
	return fmt.Sprintf("sets the hooks: preDelete %s, inPlaceUpdate %s, preNormal %s", sayHook(l.PreDelete), sayHook(l.InPlaceUpdate), sayHook(l.PreNormal))
}

// beginHooked begins with hooks that every new Pod is created with, as most of their users do.
func (c *chaos) beginHooked() {
	c.controller.Edit(func(set *kruisev1beta1.CloneSet) {
		c.Script.Tell("user", "%s", c.changeHooks(&builder{set}))
		(&builder{set}).InPlaceIfPossible().Replicas(int32(1 + c.rand.IntN(6)))
		l, template := set.Spec.Lifecycle, &set.Spec.Template
		template.Labels = maps.Clone(template.Labels)
		for _, hook := range []*pub.LifecycleHook{l.PreDelete, l.InPlaceUpdate} {
			if hook == nil {
				continue
			}
			maps.Copy(template.Labels, hook.LabelsHandler)
			for _, finalizer := range hook.FinalizersHandler {
				if !slices.Contains(template.Finalizers, finalizer) {
					template.Finalizers = append(template.Finalizers, finalizer)
				}
			}
		}
	})
}

func (c *chaos) randomHook(purpose string) *pub.LifecycleHook {
	if c.rand.IntN(4) == 0 {
		return nil
	}
	key := c.one("hold-"+purpose, "hold-all")
	hook := &pub.LifecycleHook{MarkPodNotReady: c.rand.IntN(3) == 0}
	switch c.rand.IntN(6) {
	case 0:
		// An empty hook is set by itself and blocks nothing.
	case 1, 2:
		hook.FinalizersHandler = []string{"example.com/" + key}
	case 3:
		hook.FinalizersHandler = []string{"example.com/" + key}
		hook.LabelsHandler = map[string]string{key: "yes"}
	default:
		hook.LabelsHandler = map[string]string{key: "yes"}
	}
	return hook
}

func sayHook(hook *pub.LifecycleHook) string {
	if hook == nil {
		return "none"
	}
	text := fmt.Sprint(append(slices.Sorted(maps.Keys(hook.LabelsHandler)), hook.FinalizersHandler...))
	if hook.MarkPodNotReady {
		text += " not ready"
	}
	return text
}

// toggleHook sets or removes one handler of whatever hook, in season and out of season.
func (c *chaos) toggleHook(pod *corev1.Pod) {
	key := c.one("hold-delete", "hold-update", "hold-normal", "hold-all")
	if c.rand.IntN(2) == 0 {
		key = "example.com/" + key
		isSet := slices.Contains(pod.Finalizers, key)
		c.Script.Tell("hook", "toggles the finalizer %s of %s: %t", key, pod.Name, !isSet)
		c.Edit(pod.Name, func(p *corev1.Pod) { setFinalizer(p, key, !isSet) })
		return
	}
	_, isSet := pod.Labels[key]
	c.Script.Tell("hook", "toggles the label %s of %s: %t", key, pod.Name, !isSet)
	c.Edit(pod.Name, func(p *corev1.Pod) { setLabel(p, key, "yes", !isSet) })
}

func setFinalizer(pod *corev1.Pod, name string, isWanted bool) {
	pod.Finalizers = slices.DeleteFunc(pod.Finalizers, func(f string) bool { return f == name })
	if isWanted && pod.DeletionTimestamp == nil {
		pod.Finalizers = append(pod.Finalizers, name)
	}
}

func setLabel(pod *corev1.Pod, key, value string, isWanted bool) {
	if isWanted {
		pod.Labels[key] = value
	} else {
		delete(pod.Labels, key)
	}
}

// setHook sets or removes all handlers of a hook.
func setHook(pod *corev1.Pod, hook *pub.LifecycleHook, isWanted bool) {
	for _, name := range hook.FinalizersHandler {
		setFinalizer(pod, name, isWanted)
	}
	for key, value := range hook.LabelsHandler {
		setLabel(pod, key, value, isWanted)
	}
}

// serveHooks lets the owner of the hooks do what is asked of it, for all Pods, and says whether there was anything.
func (c *chaos) serveHooks() bool {
	hooks := lifecycle.Hooks{Lifecycle: c.controller.set.Spec.Lifecycle}
	acted := false
	for _, pod := range c.Pods() {
		if pod.DeletionTimestamp != nil && len(pod.Finalizers) > 0 {
			acted = true
			c.Script.Tell("hook", "lets %s go, which is being deleted", pod.Name)
			c.Edit(pod.Name, func(p *corev1.Pod) { p.Finalizers = nil })
			continue
		}
		hook, isWanted := askedFor(hooks, pod)
		if hook == nil || pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodFailed {
			continue
		}
		acted = true
		c.Script.Tell("hook", "%s of %s: %t", sayHook(hook), pod.Name, isWanted)
		c.Edit(pod.Name, func(p *corev1.Pod) { setHook(p, hook, isWanted) })
	}
	return acted
}

// askedFor is the hook that a Pod waits for, and whether it is to be set or removed. A new Pod is taken in when it is ready.
func askedFor(hooks lifecycle.Hooks, pod *corev1.Pod) (*pub.LifecycleHook, bool) {
	switch pub.LifecycleStateType(pod.Labels[pub.LifecycleStateKey]) {
	case pub.LifecycleStatePreparingDelete:
		if lifecycle.IsHooked(hooks.PreDelete(), pod) {
			return hooks.PreDelete(), false
		}
	case pub.LifecycleStatePreparingUpdate:
		if lifecycle.IsHooked(hooks.InPlaceUpdate(), pod) {
			return hooks.InPlaceUpdate(), false
		}
	case pub.LifecycleStateUpdated:
		if hook := hooks.InPlaceUpdate(); hook != nil && !lifecycle.IsAllHooked(hook, pod) {
			return hook, true
		}
	case pub.LifecycleStatePreparingNormal:
		if hook := hooks.PreNormal(); hook != nil && !lifecycle.IsAllHooked(hook, pod) && isReady(pod) {
			return hook, true
		}
	}
	return nil, false
}

func isReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// holdForAnother lets somebody else hold a Pod not ready, or let it go.
func (c *chaos) holdForAnother(pod *corev1.Pod) {
	state := readiness.Read(pod)
	if !state.HasGate || pod.DeletionTimestamp != nil {
		return
	}
	key := readiness.Key{UserAgent: c.one("Another", "Zealous"), Name: "maintenance"}
	to := state.Hold(key)
	if state.Holds(key) {
		to = state.Release(key)
	}
	c.Script.Tell("somebody", "holds %s not ready for %s: %t", pod.Name, key.UserAgent, to.Holds(key))
	setReadiness(c.World, pod.Name, state, to)
}

func setReadiness(w *sim.World, pod string, from, to readiness.State) {
	condition, isNeeded := from.Change(to, w.Now)
	if !isNeeded {
		return
	}
	w.Edit(pod, func(p *corev1.Pod) {
		p.Status.Conditions = slices.DeleteFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == pub.KruisePodReady })
		p.Status.Conditions = append(p.Status.Conditions, condition)
	})
}

// letAllGo ends all holds of others.
func (c *chaos) letAllGo() {
	for _, pod := range c.Pods() {
		state := readiness.Read(pod)
		to := state
		for _, key := range state.Keys {
			if key.UserAgent != "Lifecycle" {
				to = to.Release(key)
			}
		}
		if len(to.Keys) != len(state.Keys) {
			setReadiness(c.World, pod.Name, state, to)
		}
	}
}

// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

package inplace_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/keelson/keelson/api/apps/pub"
	"github.com/keelson/keelson/controllers/plan"
	"github.com/keelson/keelson/controllers/plan/inplace"
	"github.com/keelson/keelson/controllers/plan/pods"
)

// several is a Pod with containers one, two, three.
func several(change func(*corev1.Pod)) *corev1.Pod {
	pod := runningPod()
	pod.Spec.Containers, pod.Status.ContainerStatuses = nil, nil
	for _, name := range []string{"one", "two", "three"} {
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: name, Image: name + ":v1"})
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: name, Image: name + ":v1", ImageID: name + "-1", ContainerID: "containerd://" + name, Ready: true,
		})
	}
	change(pod)
	return pod
}

func priority(values ...string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		for i, value := range values {
			if value != "" {
				p.Spec.Containers[i].Env = append(p.Spec.Containers[i].Env, corev1.EnvVar{Name: "KRUISE_CONTAINER_PRIORITY", Value: value})
			}
		}
	}
}

func barriers(keys ...string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		for i, key := range keys {
			if key != "" {
				p.Spec.Containers[i].Env = append(p.Spec.Containers[i].Env, corev1.EnvVar{Name: "KRUISE_CONTAINER_BARRIER", ValueFrom: &corev1.EnvVarSource{
					ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "web-x-barrier"}, Key: key},
				}})
			}
		}
	}
}

func all(names ...string) inplace.Spec {
	spec := inplace.Spec{Images: map[string]string{}}
	for _, name := range names {
		spec.Images[name] = name + ":v2"
	}
	return spec
}

func TestBatches(t *testing.T) {
	following := func(key string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Annotations: map[string]string{key: "new"}}
	}
	ordered := func(p *corev1.Pod) { p.Annotations["apps.kruise.io/container-launch-priority"] = "Ordered" }
	for name, tc := range map[string]struct {
		pod  func(*corev1.Pod)
		spec inplace.Spec
		want [][]string
	}{
		"without priorities all change at once": {
			pod: func(*corev1.Pod) {}, spec: all("one", "two", "three"), want: [][]string{{"one", "three", "two"}},
		},
		"higher priorities come first, and a missing one is 0": {
			pod: priority("", "10", "-5"), spec: all("one", "two", "three"), want: [][]string{{"two"}, {"one"}, {"three"}},
		},
		"equal priorities are no order": {
			pod: priority("3", "3", "3"), spec: all("one", "two", "three"), want: [][]string{{"one", "three", "two"}},
		},
		"nor are ones that are no numbers": {
			pod: priority("high", "low", ""), spec: all("one", "two", "three"), want: [][]string{{"one", "three", "two"}},
		},
		"only those that change count": {
			pod: priority("", "10", "-5"), spec: all("one", "three"), want: [][]string{{"one"}, {"three"}},
		},
		"in the order of the specification": {
			pod: ordered, spec: all("one", "two", "three"), want: [][]string{{"one"}, {"two"}, {"three"}},
		},
		"barriers say more than the rest; who has none goes first": {
			pod: func(p *corev1.Pod) { ordered(p); barriers("p_-1", "", "p_7")(p) }, spec: all("one", "two", "three"), want: [][]string{{"three", "two"}, {"one"}},
		},
		"who follows the same metadata changes with the first, and so on": {
			pod: priority("1", "2", "3"),
			spec: inplace.Spec{Images: map[string]string{"two": "two:v2"}, RefMetadata: map[string]metav1.ObjectMeta{
				"three": following("a"), "two": {Annotations: map[string]string{"a": "new", "b": "new"}}, "one": following("b"),
			}},
			want: [][]string{{"one", "three", "two"}},
		},
		"other metadata is no reason": {
			pod:  priority("1", "2", "3"),
			spec: inplace.Spec{RefMetadata: map[string]metav1.ObjectMeta{"three": following("a"), "two": following("b")}},
			want: [][]string{{"three"}, {"two"}},
		},
		"metadata that is removed restarts its followers at once": {
			pod: func(p *corev1.Pod) {
				priority("1", "2", "3")(p)
				p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env, follow("GONE", "metadata.annotations['gone']"))
			},
			spec: inplace.Spec{Images: map[string]string{"three": "three:v2", "two": "two:v2"}, Annotations: map[string]*string{"gone": nil}},
			want: [][]string{{"one", "three"}, {"two"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			pod := several(tc.pod)
			to := target(0)
			to.Spec = tc.spec
			changes, err := inplace.Begin(pods.Read(pod), to, now)
			require.NoError(t, err)
			for range 5 {
				pod = run(apply(t, pod, changes))
				step := inplace.Next(pods.Read(pod), now.Add(time.Minute))
				if step.Kind == inplace.Finish {
					break
				}
				require.Equal(t, inplace.Apply, step.Kind, step.Message)
				changes = step.Write(pods.Read(pod), pub.LifecycleStateNormal, now)
			}
			state := pods.Read(pod).InPlace
			var got [][]string
			for _, batch := range state.ContainerBatchesRecord {
				got = append(got, batch.Containers)
			}
			assert.Equal(t, tc.want, got)
			assert.Nil(t, state.PreCheckBeforeNext)
			assert.Empty(t, state.NextContainerImages)
			assert.Empty(t, state.NextContainerRefMetadata)
		})
	}
}

// run lets the kubelet and the node agent follow what the Pod says.
func run(pod *corev1.Pod) *corev1.Pod {
	var report pub.RuntimeContainerMetaSet
	for _, c := range inplace.LongRunning(&pod.Spec) {
		for i := range pod.Status.ContainerStatuses {
			s := &pod.Status.ContainerStatuses[i]
			if s.Name == c.Name {
				s.Image, s.ImageID, s.Ready = c.Image, "sha256:"+c.Image, true
				report.Containers = append(report.Containers, pub.RuntimeContainerMeta{Name: c.Name, ContainerID: s.ContainerID, Hashes: pub.RuntimeContainerHashes{
					PlainHash: inplace.KubeletHash(c), ExtractedEnvFromMetadataHash: inplace.ExpectedEnvHash(c, pod.Labels, pod.Annotations),
				}})
			}
		}
	}
	raw, _ := json.Marshal(report)
	pod.Annotations[pub.RuntimeContainerMetaKey] = string(raw)
	return pod
}

func TestWhatAPodRemembersIsWrittenAsPublished(t *testing.T) {
	const stamp = `"2030-01-01T12:00:00Z"`
	for name, tc := range map[string]struct {
		target inplace.Target
		want   string
	}{
		"an image": {target: target(0), want: `{"revision":"web-2","updateTimestamp":` + stamp + `,"lastContainerStatuses":{"main":{"imageID":"sha:1"}},"updateImages":true,` +
			`"containerBatchesRecord":[{"timestamp":` + stamp + `,"containers":["main"]}]}`},
		"an image that waits for its grace period": {target: target(5), want: `{"revision":"web-2","updateTimestamp":` + stamp + `,"lastContainerStatuses":null,"updateImages":true}`},
		"metadata alone": {
			target: inplace.Target{Revision: "web-2", Spec: inplace.Spec{Labels: map[string]*string{"tier": new("b")}}, After: pub.LifecycleStateNormal},
			want: `{"revision":"web-2","updateTimestamp":` + stamp + `,"lastContainerStatuses":null,` +
				`"containerBatchesRecord":[{"timestamp":` + stamp + `,"containers":[]}]}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			pod := runningPod()
			begin, err := inplace.Begin(pods.Read(pod), tc.target, now)
			require.NoError(t, err)
			assert.Equal(t, tc.want, apply(t, pod, begin).Annotations[pub.InPlaceUpdateStateKey])
		})
	}
}

func TestTheNextBatchWaitsUntilTheOneBeforeIsReady(t *testing.T) {
	pod := several(priority("10", "", ""))
	to := target(0)
	to.Spec = all("one", "two")
	begin, err := inplace.Begin(pods.Read(pod), to, now)
	require.NoError(t, err)
	pod = apply(t, pod, begin)
	assert.JSONEq(t, `{"revision":"web-2","updateTimestamp":"2030-01-01T12:00:00Z","lastContainerStatuses":{"one":{"imageID":"one-1"}},"updateImages":true,
		"nextContainerImages":{"two":"two:v2"},"preCheckBeforeNext":{"containersRequiredReady":["one"]},
		"containerBatchesRecord":[{"timestamp":"2030-01-01T12:00:00Z","containers":["one"]}]}`, pod.Annotations[pub.InPlaceUpdateStateKey])
	assert.Equal(t, "two:v1", pod.Spec.Containers[1].Image)
	assert.Equal(t, "container one still runs one:v1", inplace.Next(pods.Read(pod), now).Message)
	pod = run(pod)
	pod.Status.ContainerStatuses[0].Ready = false
	step := inplace.Next(pods.Read(pod), now)
	assert.Equal(t, inplace.Wait, step.Kind)
	assert.Equal(t, "container one is not ready, and two comes after it", step.Message)
}

func TestAnEnvironmentIsFollowedWhenTheNodeAgentSaysSo(t *testing.T) {
	pod := several(func(p *corev1.Pod) {
		p.Annotations["config"] = "a"
		p.Spec.Containers[0].Env = []corev1.EnvVar{follow("CONFIG", "metadata.annotations['config']")}
	})
	pod = run(pod)
	to := target(0)
	to.Spec = inplace.Spec{RefMetadata: map[string]metav1.ObjectMeta{"one": {Annotations: map[string]string{"config": "b"}}}}
	begin, err := inplace.Begin(pods.Read(pod), to, now)
	require.NoError(t, err)
	require.Len(t, begin, 2, "drain, then metadata")
	pod = apply(t, pod, begin)
	assert.Equal(t, "b", pod.Annotations["config"])
	assert.True(t, inplace.EnvIsDue(pods.Read(pod)))
	step := inplace.Next(pods.Read(pod), now)
	assert.Equal(t, inplace.Wait, step.Kind)
	assert.Equal(t, "container one: the node agent has not reported yet that its environment follows the metadata", step.Message)
	assert.Equal(t, inplace.Finish, inplace.Next(pods.Read(run(pod)), now).Kind)
}

func TestAGracePeriodHoldsEverythingBack(t *testing.T) {
	pod := several(func(p *corev1.Pod) {
		p.Spec.Containers[0].Env = []corev1.EnvVar{follow("CONFIG", "metadata.annotations['config']")}
		p.Spec.Containers[1].Resources.Requests = amount("1", "")
	})
	to, value := target(30), "web"
	to.Spec = inplace.Spec{
		Images:      map[string]string{"three": "three:v2"},
		Resources:   map[string]corev1.ResourceRequirements{"two": {Requests: amount("2", "")}},
		RefMetadata: map[string]metav1.ObjectMeta{"one": {Annotations: map[string]string{"config": "b"}}},
		Labels:      map[string]*string{"tier": &value},
	}
	begin, err := inplace.Begin(pods.Read(pod), to, now)
	require.NoError(t, err)
	require.Len(t, begin, 1)
	pod = apply(t, pod, begin)
	assert.JSONEq(t, `{"revision":"web-2","containerImages":{"three":"three:v2"},"containerRefMetadata":{"one":{"annotations":{"config":"b"}}},
		"containerResources":{"two":{"requests":{"cpu":"2"}}},"metaDataPatch":"eyJtZXRhZGF0YSI6eyJsYWJlbHMiOnsidGllciI6IndlYiJ9fX0=",
		"updateEnvFromMetadata":true,"graceSeconds":30}`, pod.Annotations[pub.InPlaceUpdateGraceKey])
	step := inplace.Next(pods.Read(pod), now.Add(time.Minute))
	require.Equal(t, inplace.Apply, step.Kind)
	changes := step.Write(pods.Read(pod), "", now)
	require.Len(t, changes, 2, "resources are a write of their own")
	assert.Equal(t, "resize", changes[1].Subresource)
	assert.JSONEq(t, `{"spec":{"containers":[{"name":"two","resources":{"requests":{"cpu":"2"}}}]}}`, string(changes[1].Patch))
	pod = apply(t, pod, changes[:1])
	assert.Equal(t, "b", pod.Annotations["config"])
	assert.Equal(t, "web", pod.Labels["tier"])
	assert.Equal(t, "three:v2", pod.Spec.Containers[2].Image)
	assert.NotContains(t, pod.Annotations, pub.InPlaceUpdateGraceKey)
	step = inplace.Next(pods.Read(pod), now)
	assert.Equal(t, inplace.Ask, step.Kind, "whoever died between the two is followed by one who asks for the resources")
}

func TestAResizeIsDoneWhenTheKubeletSaysSo(t *testing.T) {
	pod := several(func(p *corev1.Pod) {
		p.Spec.Containers[0].Resources.Requests = amount("1", "1Gi")
		p.Status.ContainerStatuses[0].Resources = &corev1.ResourceRequirements{Requests: amount("1", "1Gi")}
	})
	to := target(30)
	to.Spec = inplace.Spec{Resources: map[string]corev1.ResourceRequirements{"one": {Requests: amount("2", "")}}}
	begin, err := inplace.Begin(pods.Read(pod), to, now)
	require.NoError(t, err)
	require.Len(t, begin, 2, "nothing restarts, so nothing is drained or held back")
	pod = apply(t, pod, begin[:1])
	pod.Spec.Containers[0].Resources.Requests = amount("2", "1Gi")
	assert.Equal(t, "container one has its old resources", inplace.Next(pods.Read(pod), now).Message)
	assert.True(t, inplace.ResizeProblem(pods.Read(pod)).OK)

	for reason, want := range map[string]string{"Deferred": "ResizeDeferred", "Infeasible": "ResizeInfeasible"} {
		told := pod.DeepCopy()
		told.Status.Conditions = append(told.Status.Conditions, corev1.PodCondition{
			Type: corev1.PodResizePending, Status: corev1.ConditionTrue, Reason: reason, Message: "no room",
		})
		problem := inplace.ResizeProblem(pods.Read(told))
		assert.Equal(t, want, problem.Reason)
		assert.Contains(t, problem.Message, "no room")
		assert.Equal(t, problem.Message, inplace.Next(pods.Read(told), now).Message)
		assert.Equal(t, reason, pods.Read(told).Problem())
	}
	pod.Status.ContainerStatuses[0].Resources.Requests = amount("2000m", "1Gi")
	assert.Equal(t, inplace.Finish, inplace.Next(pods.Read(pod), now).Kind)
}

func TestARestartingResizeDrains(t *testing.T) {
	pod := several(func(p *corev1.Pod) {
		p.Spec.Containers[0].Resources.Requests = amount("1", "1Gi")
		p.Spec.Containers[0].ResizePolicy = []corev1.ContainerResizePolicy{{ResourceName: corev1.ResourceMemory, RestartPolicy: corev1.RestartContainer}}
	})
	for name, tc := range map[string]struct {
		requests corev1.ResourceList
		want     []string
	}{
		"for memory":         {requests: amount("", "2Gi"), want: []string{"status", "", "resize"}},
		"but not for CPU":    {requests: amount("2", ""), want: []string{"", "resize"}},
		"nor what is there ": {requests: amount("1", ""), want: []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			to := target(0)
			to.Spec = inplace.Spec{Resources: map[string]corev1.ResourceRequirements{"one": {Requests: tc.requests}}}
			begin, err := inplace.Begin(pods.Read(pod), to, now)
			require.NoError(t, err)
			var got []string
			for _, change := range begin {
				got = append(got, change.Subresource)
			}
			assert.Equal(t, tc.want, got)
		})
	}
}

func TestWhatIsOvertakenIsNotForgotten(t *testing.T) {
	begin := func(t *testing.T, pod *corev1.Pod, spec inplace.Spec) *corev1.Pod {
		to := target(0)
		to.Spec = spec
		changes, err := inplace.Begin(pods.Read(pod), to, now)
		require.NoError(t, err)
		return apply(t, pod, changes)
	}
	t.Run("what a later batch was to change", func(t *testing.T) {
		pod := begin(t, several(priority("10", "", "")), all("one", "two"))
		pod = begin(t, run(pod), inplace.Spec{Images: map[string]string{"one": "one:v3"}})
		assert.Equal(t, map[string]string{"two": "two:v2"}, pods.Read(pod).InPlace.NextContainerImages)
		assert.Equal(t, "one:v3", pod.Spec.Containers[0].Image)
	})
	t.Run("but what is taken back before its batch is", func(t *testing.T) {
		pod := begin(t, several(priority("10", "", "")), all("one", "two"))
		pod = begin(t, run(pod), inplace.Spec{Images: map[string]string{"one": "one:v1", "two": "two:v1"}})
		assert.Empty(t, pods.Read(pod).InPlace.NextContainerImages)
		assert.Equal(t, "one:v1", pod.Spec.Containers[0].Image)
	})
	t.Run("a container that cannot start does not hold up the batch before its own", func(t *testing.T) {
		pod := begin(t, several(priority("10", "", "")), all("two"))
		pod.Status.ContainerStatuses[1].State.Waiting = &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff"}
		pod = begin(t, pod, inplace.Spec{Images: map[string]string{"one": "one:v3", "two": "two:v3"}})
		assert.Equal(t, "one:v3", pod.Spec.Containers[0].Image)
		pod.Status.ContainerStatuses[0].ImageID = "one-3"
		step := inplace.Next(pods.Read(pod), now)
		require.Equal(t, inplace.Apply, step.Kind, step.Message)
		pod = apply(t, pod, step.Write(pods.Read(pod), "", now))
		assert.Equal(t, "two:v3", pod.Spec.Containers[1].Image)
	})
	t.Run("a container of a higher priority that has not followed yet goes first", func(t *testing.T) {
		pod := begin(t, several(priority("10", "", "")), all("one"))
		pod = begin(t, pod, all("two"))
		assert.Equal(t, "two:v1", pod.Spec.Containers[1].Image)
		assert.Equal(t, map[string]string{"two": "two:v2"}, pods.Read(pod).InPlace.NextContainerImages)
		assert.Equal(t, []string{"one"}, pods.Read(pod).InPlace.PreCheckBeforeNext.ContainersRequiredReady)
		step := inplace.Next(pods.Read(run(pod)), now)
		require.Equal(t, inplace.Apply, step.Kind, step.Message)
		assert.Equal(t, "two:v2", apply(t, pod, step.Write(pods.Read(pod), "", now)).Spec.Containers[1].Image)
	})
	t.Run("resources that were not asked for yet", func(t *testing.T) {
		pod := several(func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Requests = amount("1", "1Gi") })
		to := target(0)
		to.Spec = inplace.Spec{Resources: map[string]corev1.ResourceRequirements{"one": {Requests: amount("2", "2Gi")}}}
		changes, err := inplace.Begin(pods.Read(pod), to, now)
		require.NoError(t, err)
		pod = apply(t, pod, changes[:1])
		to.Spec.Resources["one"] = corev1.ResourceRequirements{Requests: amount("1", "")}
		changes, err = inplace.Begin(pods.Read(pod), to, now)
		require.NoError(t, err)
		require.Len(t, changes, 2)
		assert.JSONEq(t, `{"spec":{"containers":[{"name":"one","resources":{"requests":{"memory":"2Gi"}}}]}}`, string(changes[1].Patch))
	})
}

func TestRestore(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	of := func(tag, config, cpu string) *corev1.PodTemplateSpec {
		main := corev1.Container{Name: "main", Image: "app:" + tag, Env: []corev1.EnvVar{follow("CONFIG", "metadata.annotations['config']")}}
		main.Resources.Requests = amount(cpu, "")
		return &corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"config": config}},
			Spec: corev1.PodSpec{
				InitContainers: []corev1.Container{{Name: "mesh", Image: "mesh:" + tag, RestartPolicy: &always}}, Containers: []corev1.Container{main},
			},
		}
	}
	pod := runningPod()
	pod.Annotations["config"], pod.Spec.InitContainers, pod.Spec.Containers = "a", of("v1", "a", "1").Spec.InitContainers, of("v1", "a", "1").Spec.Containers
	p := &inplace.Patch{}
	p.RemoveAnnotation(pub.InPlaceUpdateGraceKey)
	changes, err := inplace.Restore(pods.Read(pod), of("v2", "b", "2"), inplace.Options{EnvFromMetadata: true, VerticalScaling: true}, p, now)
	require.NoError(t, err)
	require.Len(t, changes, 2)
	var got struct {
		Metadata struct{ Annotations map[string]*string }
		Spec     struct{ Containers, InitContainers []corev1.Container }
	}
	require.NoError(t, json.Unmarshal(changes[0].Patch, &got))
	assert.Equal(t, "b", *got.Metadata.Annotations["config"])
	assert.Contains(t, got.Metadata.Annotations, pub.InPlaceUpdateGraceKey)
	assert.Equal(t, "app:v2", got.Spec.Containers[0].Image)
	assert.Equal(t, "mesh:v2", got.Spec.InitContainers[0].Image)
	assert.Equal(t, "resize", changes[1].Subresource)

	changes, err = inplace.Restore(pods.Read(pod), of("v1", "a", "1"), inplace.Options{EnvFromMetadata: true, VerticalScaling: true}, &inplace.Patch{}, now)
	require.NoError(t, err)
	require.Len(t, changes, 1)
	assert.JSONEq(t, `{}`, string(changes[0].Patch))
}

func TestRefusal(t *testing.T) {
	of := schema.GroupResource{Resource: "pods"}
	for name, c := range map[string]struct {
		subresource string
		err         error
		wantRefused bool
	}{
		"a node that is too small, or a quota that is used up": {"resize", apierrors.NewForbidden(of, "web-a", errors.New("no room")), true},
		"what is not valid":                               {"resize", apierrors.NewInvalid(schema.GroupKind{Kind: "Pod"}, "web-a", nil), true},
		"a server that cannot resize":                     {"resize", apierrors.NewNotFound(of, "web-a"), true},
		"a server that is too busy is asked again":        {"resize", apierrors.NewTooManyRequests("later", 1), false},
		"a connection that is lost":                       {"resize", errors.New("lost"), false},
		"a write to something else is none of this":       {"", apierrors.NewForbidden(of, "web-a", errors.New("no")), false},
		"an error that is wrapped is seen for what it is": {"resize", fmt.Errorf("patching: %w", apierrors.NewForbidden(of, "web-a", nil)), true},
	} {
		t.Run(name, func(t *testing.T) {
			action := plan.Action{Object: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web-a"}}}
			v := inplace.Refusal(plan.Failure{Action: action, Err: c.err, Subresource: c.subresource})
			assert.Equal(t, c.wantRefused, !v.OK)
			if c.wantRefused {
				assert.Equal(t, inplace.ReasonRefused, v.Reason)
				assert.Regexp(t, `^Pod web-a cannot have its new resources: (pods |Pod )"web-a" is (forbidden|invalid)|pods "web-a" not found`, v.Message)
			}
		})
	}
}

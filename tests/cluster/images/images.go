// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Package images makes the workload images without any network, and pushes them to the local registry.
package images

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Pause is the image that holds the namespaces of each Pod.
const Pause = "keelson/pause:1"

// image is one repository: a program with an environment, under several tags.
type image struct {
	repositories []string
	program      string
	env          []string
	tags         []string
	// shared and own are how many MB, which nothing makes smaller, an image has beside the program: those that all tags of the first repository share, as versions share
	// their base, and those of each tag.
	shared, own int
}

// all lists the images that the demo and the suites use.
func all() []image {
	return []image{
		{repositories: []string{"keelson/pause"}, program: "pause", tags: []string{"1"}},
		{repositories: []string{"keelson/demo", "openkruise/demo"}, program: "demo", tags: []string{"1.10.2", "1.10.3", "1.11.0"}},
		{repositories: []string{"keelson/sleeper"}, program: "demo", env: []string{"SLEEP=1"}, tags: []string{"v1", "v2", "v3"}},
		{repositories: []string{"keelson/crasher"}, program: "demo", env: []string{"CRASH=1"}, tags: []string{"v1"}},
		{repositories: []string{"keelson/keeper"}, program: "keeper", tags: []string{"v1"}},
		{repositories: []string{"keelson/stubborn"}, program: "demo", env: []string{"SLEEP=1", "STUBBORN=10s"}, tags: []string{"v1", "v2"}},
	}
}

// Push makes all images and pushes them to a registry, from the module in source.
func Push(ctx context.Context, source, registry string) error {
	scratch, err := os.MkdirTemp("", "keelson-images")
	if err != nil {
		return fmt.Errorf("making images: %w", err)
	}
	defer os.RemoveAll(scratch)
	return pushAll(ctx, source, scratch, registry, all())
}

// Shops are the repositories of PushShops.
func Shops() []string { return []string{"keelson/shop-in-place", "keelson/shop-recreated"} }

// PushShops makes the images by which the demo compares, 200 MB each, and pushes them to a registry.
func PushShops(ctx context.Context, source, registry string) error {
	scratch, err := os.MkdirTemp("", "keelson-images")
	if err != nil {
		return fmt.Errorf("making images: %w", err)
	}
	defer os.RemoveAll(scratch)
	var shops []image
	for _, repository := range Shops() {
		shops = append(shops, image{repositories: []string{repository}, program: "demo", tags: []string{"v1", "v2"}, shared: 180, own: 20})
	}
	return pushAll(ctx, source, scratch, registry, shops)
}

func pushAll(ctx context.Context, source, scratch, registry string, images []image) error {
	for _, i := range images {
		for _, tag := range i.tags {
			if err := i.push(ctx, source, scratch, registry, tag); err != nil {
				return fmt.Errorf("making image %s:%s: %w", i.repositories[0], tag, err)
			}
		}
	}
	return nil
}

func (i image) push(ctx context.Context, source, scratch, registry, tag string) error {
	binary := filepath.Join(scratch, i.program+"-"+tag)
	if err := compile(ctx, source, i.program, tag, binary); err != nil {
		return err
	}
	img, err := i.make(binary, tag)
	if err != nil {
		return err
	}
	for _, repository := range i.repositories {
		ref, err := name.NewTag(registry+"/"+repository+":"+tag, name.Insecure)
		if err != nil {
			return err
		}
		if err := remote.Write(ref, img, remote.WithContext(ctx)); err != nil {
			return fmt.Errorf("pushing: %w", err)
		}
	}
	return nil
}

func compile(ctx context.Context, source, program, tag, binary string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version="+tag, "-o", binary, "./images/"+program)
	cmd.Dir, cmd.Stderr = source, os.Stderr
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	return cmd.Run()
}

// make puts a static binary into an image of one layer, above what it has of others. Equal input gives an equal digest.
func (i image) make(binary, tag string) (v1.Image, error) {
	content, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	if err := w.WriteHeader(&tar.Header{Name: i.program, Mode: 0o755, Size: int64(len(content))}); err != nil {
		return nil, err
	}
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil }
	l, err := tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	layers, err := i.ballast(tag)
	if err != nil {
		return nil, err
	}
	if img, err = mutate.AppendLayers(img, append(layers, l)...); err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", strings.TrimSpace(goarch())
	config.Config.Entrypoint = []string{"/" + i.program}
	config.Config.User = "65535:65535"
	config.Config.Env = append([]string{"VERSION=" + tag}, i.env...)
	return mutate.ConfigFile(img, config)
}

// ballast are the layers below the program.
func (i image) ballast(tag string) (layers []v1.Layer, err error) {
	for _, part := range []struct {
		name string
		size int
	}{{"base", i.shared}, {"own-" + tag, i.own}} {
		if part.size == 0 {
			continue
		}
		layer, err := noise(i.repositories[0]+"/"+part.name, part.size)
		if err != nil {
			return nil, err
		}
		layers = append(layers, layer)
	}
	return layers, nil
}

// noise is a layer of so many MB that cannot be compressed; equal names give equal layers.
func noise(name string, size int) (v1.Layer, error) {
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	bytes := int64(size) << 20
	if err := w.WriteHeader(&tar.Header{Name: strings.ReplaceAll(name, "/", "-"), Mode: 0o644, Size: bytes}); err != nil {
		return nil, err
	}
	if _, err := io.CopyN(w, rand.NewChaCha8(sha256.Sum256([]byte(name))), bytes); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return static.NewLayer(layer.Bytes(), types.OCIUncompressedLayer), nil
}

func goarch() string {
	out, err := exec.Command("go", "env", "GOARCH").Output()
	if err != nil {
		return "amd64"
	}
	return string(out)
}

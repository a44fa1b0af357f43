// Copyright The Keelson Authors.
// SPDX-License-Identifier: Apache-2.0

// Command base puts the image that ours are built on into ko's own cache, where ko finds it by its digest without asking any registry, and prints its
// reference. It holds users, /tmp and a home, and nothing that runs.
package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/match"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// nonroot is the user and group that programs run as.
const nonroot = "65532:65532"

func main() {
	reference, err := write(os.Getenv("KOCACHE"))
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(1)
	}
	fmt.Println(reference)
}

func write(cache string) (string, error) {
	if cache == "" {
		return "", fmt.Errorf("KOCACHE must name ko's cache folder")
	}
	img, err := image()
	if err != nil {
		return "", fmt.Errorf("making the base image: %w", err)
	}
	dir := filepath.Join(cache, "img")
	index, err := layout.FromPath(dir)
	if err != nil {
		if index, err = layout.Write(dir, empty.Index); err != nil {
			return "", fmt.Errorf("preparing %s: %w", dir, err)
		}
	}
	digest, err := img.Digest()
	if err != nil {
		return "", fmt.Errorf("making the base image: %w", err)
	}
	if err := index.ReplaceImage(img, match.Digests(digest)); err != nil {
		return "", fmt.Errorf("writing the base image: %w", err)
	}
	return "base.local/static@" + digest.String(), nil
}

func image() (v1.Image, error) {
	content, err := files()
	if err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
	layer, err := tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if img, err = mutate.AppendLayers(img, layer); err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config.User, config.Config.WorkingDir = nonroot, "/home/nonroot"
	return mutate.ConfigFile(img, config)
}

func files() ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, dir := range []tar.Header{{Name: "etc/", Mode: 0o755}, {Name: "tmp/", Mode: 0o1777}, {Name: "home/", Mode: 0o755}, {Name: "home/nonroot/", Mode: 0o755}} {
		dir.Typeflag = tar.TypeDir
		if err := w.WriteHeader(&dir); err != nil {
			return nil, err
		}
	}
	for _, file := range [][2]string{
		{"etc/passwd", "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n"},
		{"etc/group", "root:x:0:\nnonroot:x:65532:\n"},
	} {
		if err := w.WriteHeader(&tar.Header{Name: file[0], Mode: 0o644, Size: int64(len(file[1]))}); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(w, file[1]); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return out.Bytes(), err
}

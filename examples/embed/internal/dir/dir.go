// Package dir writes the machine directories of the examples.
package dir

import (
	"os"
	"path/filepath"
)

// Write makes a temporary directory with files of these names and contents;
// the caller removes it.
func Write(files map[string]string) (string, error) {
	d, err := os.MkdirTemp("", "machine")
	if err != nil {
		return "", err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(d, name), []byte(text), 0o600); err != nil {
			os.RemoveAll(d)
			return "", err
		}
	}
	return d, nil
}

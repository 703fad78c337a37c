package gen

import (
	"errors"
	"os"
	"testing"

	"weir/internal/kernel"
)

// TestLinuxLoadsEveryRuleSet feeds many rule sets to iptables-legacy-restore.
func TestLinuxLoadsEveryRuleSet(t *testing.T) {
	n := 300
	if testing.Short() {
		n = 50
	}
	k, err := kernel.New(kernel.Config{Ifaces: []kernel.Iface{{Name: lan}, {Name: wan}, {Name: dmz}}})
	if errors.Is(err, kernel.ErrUnavailable) && os.Getenv("WEIR_REQUIRE_KERNEL") != "1" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	for seed := range n {
		d := newDice(uint64(seed), 1)
		_, w := newMachine(d)
		m := maker{d, &w}
		v4, v6 := m.rules(0, true), m.rules(1, true)
		if err := k.Reload(v4, v6); err != nil {
			t.Fatalf("seed %d: %v\n%s\n%s", seed, err, v4, v6)
		}
	}
}

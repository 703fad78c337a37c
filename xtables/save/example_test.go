package save_test

import (
	"fmt"

	"weir/packet"
	"weir/xtables/save"
	"weir/xtables/std"
)

// Rules are read as iptables-restore reads them and print as iptables-save
// prints them.
func ExampleParse() {
	f, _ := save.Parse("rules.v4", []byte(`*filter
:FORWARD DROP [0:0]
-A FORWARD -p tcp --dport http -s 192.0.2.1/24 -j ACCEPT
COMMIT
`), packet.IPv4, std.List())
	fmt.Print(string(save.Print(f)))

	_, errs := save.Parse("rules.v4", []byte(`*filter
-A FORWARD -p tcp --dprot 80 -j ACCEPT
COMMIT
`), packet.IPv4, std.List())
	fmt.Println(errs[0])
	// Output:
	// *filter
	// :INPUT ACCEPT [0:0]
	// :FORWARD DROP [0:0]
	// :OUTPUT ACCEPT [0:0]
	// -A FORWARD -s 192.0.2.0/24 -p tcp -m tcp --dport 80 -j ACCEPT
	// COMMIT
	// rules.v4:2:19: unknown option --dprot; did you mean --dport?
}

package names

// Named is a name with its value.
type Named struct {
	Name  string
	Value uint8
}

// DSCPClasses lists the classes of differentiated services that iptables knows
// (RFC 2474, 2597, 3246), as six-bit values, in the order in which it looks.
func DSCPClasses() []Named {
	return []Named{
		{"CS0", 0x00}, {"CS1", 0x08}, {"CS2", 0x10}, {"CS3", 0x18},
		{"CS4", 0x20}, {"CS5", 0x28}, {"CS6", 0x30}, {"CS7", 0x38},
		{"BE", 0x00},
		{"AF11", 0x0a}, {"AF12", 0x0c}, {"AF13", 0x0e},
		{"AF21", 0x12}, {"AF22", 0x14}, {"AF23", 0x16},
		{"AF31", 0x1a}, {"AF32", 0x1c}, {"AF33", 0x1e},
		{"AF41", 0x22}, {"AF42", 0x24}, {"AF43", 0x26},
		{"EF", 0x2e},
	}
}

// TOSNames lists the names of the old type-of-service bits (RFC 1349).
func TOSNames() []Named {
	return []Named{
		{"Minimize-Delay", 0x10}, {"Maximize-Throughput", 0x08},
		{"Maximize-Reliability", 0x04}, {"Minimize-Cost", 0x02}, {"Normal-Service", 0x00},
	}
}

// LogLevels lists the syslog levels by the names that iptables takes.
func LogLevels() []Named {
	return []Named{
		{"alert", 1}, {"crit", 2}, {"debug", 7}, {"emerg", 0}, {"error", 3},
		{"info", 6}, {"notice", 5}, {"panic", 0}, {"warning", 4},
	}
}

// LogLevel is a level by its name, in lower case.
func LogLevel(s string) (uint8, bool) {
	for _, l := range LogLevels() {
		if l.Name == s {
			return l.Value, true
		}
	}
	return 0, false
}

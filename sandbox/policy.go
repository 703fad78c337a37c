package sandbox

// Policy is what stays allowed.
type Policy struct {
	// Read are directories and files that may be read, Write directories in
	// which files may also be made, written, renamed and removed.
	Read, Write []string
	// Remove are directories in which files may be removed.
	Remove []string
}

// Report says what holds after Enter.
type Report struct {
	Capabilities bool // none is left
	Landlock     int  // version of the kernel's interface that holds; 0: none
	Seccomp      bool
	// Missing is why something does not hold, a sentence each.
	Missing []string
}

module weir

go 1.25.0

require (
	github.com/alecthomas/kong v1.17.0 // indirect
	github.com/gaissmai/bart v0.30.0 // indirect
	github.com/vishvananda/netlink v1.3.1 // indirect
	github.com/vishvananda/netns v0.0.5 // indirect
	go.yaml.in/yaml/v4 v4.0.0 // indirect
	golang.org/x/sys v0.40.0 // indirect
)

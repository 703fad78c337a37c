module weir

go 1.25.0

require (
	github.com/alecthomas/kong v1.17.0 // indirect
	github.com/gaissmai/bart v0.30.0 // indirect
	go.yaml.in/yaml/v4 v4.0.0 // indirect
)

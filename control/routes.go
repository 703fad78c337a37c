package control

import (
	_ "embed"
	"net/http"
)

// OpenAPI describes every path.
//
//go:embed openapi.yaml
var openAPI []byte

// endpoint is one path and method.
type endpoint struct {
	method, path string
	serve        func(http.ResponseWriter, *http.Request) error
}

// routes is everything that the server answers.
func (s *Server) routes() []endpoint {
	return []endpoint{
		{"GET", "/v1/status", s.status},
		{"POST", "/v1/reload", s.reload},
		{"GET", "/v1/rules", s.rules},
		{"PUT", "/v1/rules", s.restore},
		{"GET", "/v1/rules/list", s.listRules},
		{"POST", "/v1/program", s.program},
		{"GET", "/v1/conntrack", s.connections},
		{"DELETE", "/v1/conntrack", s.deleteConnections},
		{"GET", "/v1/conntrack/count", s.count},
		{"POST", "/v1/conntrack/flush", s.flush},
		{"GET", "/v1/conntrack/events", s.eventStream},
		{"GET", "/v1/stats", s.stats},
		{"GET", "/v1/drops", s.drops},
		{"GET", "/v1/nat", s.natUse},
		{"GET", "/v1/nat/holder", s.natHolder},
		{"GET", "/v1/trace", s.traceStream},
		{"GET", "/v1/top", s.top},
		{"GET", "/v1/openapi.yaml", s.openapi},
	}
}

func (s *Server) openapi(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/yaml")
	w.Write(openAPI)
	return nil
}

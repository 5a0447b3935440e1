package session

import (
	"strconv"
	"strings"

	"github.com/mileusna/useragent"
)

// maxAgent is how much of a browser's User-Agent header is kept and read, in bytes.
const maxAgent = 512

// Agent is a parsed User-Agent header; what is not known is "" (core.md §6.4).
type Agent struct {
	Device  AgentDevice  `json:"device" api:"required"`
	OS      AgentOS      `json:"os" api:"required"`
	Browser AgentBrowser `json:"user_agent" api:"required"`
	String  string       `json:"string" api:"required"`
}

// AgentDevice is the hardware of an Agent.
type AgentDevice struct {
	Brand  string `json:"brand" api:"required"`
	Family string `json:"family" api:"required"`
	Model  string `json:"model" api:"required"`
}

// AgentOS is the operating system of an Agent.
type AgentOS struct {
	Family     string `json:"family" api:"required"`
	Major      string `json:"major" api:"required"`
	Minor      string `json:"minor" api:"required"`
	Patch      string `json:"patch" api:"required"`
	PatchMinor string `json:"patch_minor" api:"required"`
}

// AgentBrowser is the program of an Agent.
type AgentBrowser struct {
	Family string `json:"family" api:"required"`
	Major  string `json:"major" api:"required"`
	Minor  string `json:"minor" api:"required"`
	Patch  string `json:"patch" api:"required"`
}

// ParseAgent reads a User-Agent header.
func ParseAgent(header string) Agent {
	header = clip(header)
	ua := useragent.Parse(header)
	os, program := versions(ua.OSVersion), versions(ua.Version)
	a := Agent{
		Device:  AgentDevice{Family: other(ua.Device), Model: ua.Device},
		OS:      AgentOS{Family: other(ua.OS), Major: os[0], Minor: os[1], Patch: os[2], PatchMinor: os[3]},
		Browser: AgentBrowser{Family: other(ua.Name), Major: program[0], Minor: program[1], Patch: program[2]},
		String:  header,
	}
	switch {
	case ua.OS == useragent.IOS, ua.OS == useragent.MacOS:
		a.Device.Brand = "Apple"
		if ua.Device == "" {
			a.Device.Family, a.Device.Model = "Mac", "Mac"
		}
	case ua.Bot:
		a.Device.Family = "Spider"
	}
	return a
}

// clip bounds a header to what is kept, without cutting a character and without what a text column refuses.
func clip(header string) string {
	if len(header) > maxAgent {
		header = header[:maxAgent]
	}
	return strings.ReplaceAll(strings.ToValidUTF8(header, ""), "\x00", "")
}

func other(s string) string {
	if s == "" {
		return "Other"
	}
	return s
}

// versions takes up to four numbers of a dotted version.
func versions(v string) [4]string {
	var out [4]string
	for i, part := range strings.SplitN(v, ".", 5) {
		if i == len(out) {
			break
		}
		if _, err := strconv.ParseUint(part, 10, 32); err != nil {
			break
		}
		out[i] = part
	}
	return out
}

// Drives a proxy over CONNECT and TLS, which wrk cannot, and is the origin of streams and uploads.
//
// load: opens its connections, prints "ready", waits for a line, works for a while, prints one line of JSON and ends when its input does.
// hold: keeps connections, streams and uploads as the lines of its input say.
// origin: answers chats, as a stream where asked, and counts uploads.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"
)

// Settings are those of every mode.
type Settings struct {
	proxy       string
	origin      string
	host        string
	ca          string
	cert        string
	key         string
	listen      string
	mode        string
	method      string
	path        string
	bodyFile    string
	length      int
	connections int
	from        int
	to          int
	time        time.Duration
	resume      bool
}

// Figures are what one run of a load gives.
type Figures struct {
	Requests  int     `json:"requests"`
	Seconds   float64 `json:"seconds"`
	P50Us     float64 `json:"p50_us"`
	P99Us     float64 `json:"p99_us"`
	MaxUs     float64 `json:"max_us"`
	Bytes     int64   `json:"bytes"`
	Resumed   int     `json:"resumed"`
	CPUUs     int64   `json:"cpu_us"`
	Failed    int     `json:"failed"`
	FirstFail string  `json:"first_fail,omitempty"`
}

func main() {
	var s Settings
	flags := flag.NewFlagSet("driver", flag.ExitOnError)
	flags.StringVar(&s.proxy, "proxy", "", "host:port of the proxy; empty: straight to the origin")
	flags.StringVar(&s.origin, "origin", "", "host:port that CONNECT names, or that is dialled without a proxy; empty: host:443")
	flags.StringVar(&s.host, "host", "", "the name in SNI and Host; %d becomes the number of a fresh host")
	flags.StringVar(&s.ca, "ca", "", "PEM file of the authority to trust")
	flags.StringVar(&s.cert, "cert", "", "certificate of the origin")
	flags.StringVar(&s.key, "key", "", "key of the origin")
	flags.StringVar(&s.listen, "listen", "", "where the origin listens")
	flags.StringVar(&s.mode, "mode", "request", "request, connect or stream")
	flags.StringVar(&s.method, "method", "GET", "")
	flags.StringVar(&s.path, "path", "/", "")
	flags.StringVar(&s.bodyFile, "body", "", "file with the body")
	flags.IntVar(&s.length, "length", 0, "bytes that every answer must have; 0: whatever")
	flags.IntVar(&s.connections, "connections", 1, "")
	flags.IntVar(&s.from, "from", 0, "first fresh host")
	flags.IntVar(&s.to, "to", 0, "the fresh host to stop before")
	flags.DurationVar(&s.time, "time", time.Second, "")
	flags.BoolVar(&s.resume, "resume", false, "resume TLS sessions")
	if len(os.Args) < 2 {
		fail(fmt.Errorf("load, hold or origin?"))
	}
	if err := flags.Parse(os.Args[2:]); err != nil {
		fail(err)
	}
	var err error
	switch os.Args[1] {
	case "load":
		err = load(&s)
	case "hold":
		err = hold(&s)
	case "origin":
		err = serve(&s)
	default:
		err = fmt.Errorf("no mode %s", os.Args[1])
	}
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func say(value any) {
	text, err := json.Marshal(value)
	if err != nil {
		fail(err)
	}
	fmt.Println(string(text))
}

// waitForLine returns false at the end of the input.
func waitForLine(in *bufio.Scanner) bool {
	return in.Scan()
}

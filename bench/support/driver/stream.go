package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

var stampMark = []byte(`"stamp":`)

// streaming asks for one stream and takes the time from the origin's stamp to the read of every event.
func streaming(client *Client, conn *Conn) (tally Tally) {
	first := true
	tally.bytes, tally.err = stream(client, conn, func(delay time.Duration) {
		// The first event waits for what the request costs; the delay of the rest is what is asked for.
		if !first {
			tally.times = append(tally.times, us(delay))
		}
		first = false
	})
	return tally
}

func stream(client *Client, conn *Conn, take func(time.Duration)) (int64, error) {
	if err := conn.tls.SetDeadline(time.Time{}); err != nil {
		return 0, err
	}
	if _, err := conn.tls.Write(client.request); err != nil {
		return 0, err
	}
	length, chunked, err := readHead(conn.reader)
	if err != nil {
		return 0, err
	}
	if !chunked {
		return 0, fmt.Errorf("a stream of a length known before, %d", length)
	}
	return readChunks(conn.reader, func(chunk []byte) {
		now := time.Now()
		for rest := chunk; ; {
			at := bytes.Index(rest, stampMark)
			if at < 0 {
				return
			}
			rest = rest[at+len(stampMark):]
			end := bytes.IndexByte(rest, '}')
			stamp, err := strconv.ParseInt(string(rest[:max(end, 0)]), 10, 64)
			if err == nil {
				take(now.Sub(time.Unix(0, stamp)))
			}
		}
	})
}

// hold does what the lines of its input say: open N, streams N, upload BYTES; one line of JSON answers each.
func hold(s *Settings) error {
	client, err := newClient(s)
	if err != nil {
		return err
	}
	get := requestOf("GET", s.path, s.authority(s.host), 0, nil)
	var held []*Conn
	var events, broken atomic.Int64
	in := bufio.NewScanner(os.Stdin)
	fmt.Println("ready")
	for waitForLine(in) {
		word, rest, _ := strings.Cut(in.Text(), " ")
		amount, _ := strconv.ParseInt(rest, 10, 64)
		began := time.Now()
		switch word {
		case "open":
			for range amount {
				conn, err := client.open(s.host, len(held), nil)
				if err != nil {
					return err
				}
				if _, err := client.ask(conn, get); err != nil {
					return err
				}
				held = append(held, conn)
			}
		case "streams":
			for range amount {
				conn, err := client.open(s.host, len(held), nil)
				if err != nil {
					return err
				}
				held = append(held, conn)
				go func() {
					_, err := stream(client, conn, func(time.Duration) { events.Add(1) })
					if err != nil {
						broken.Add(1)
					}
				}()
			}
		case "upload":
			if err := upload(client, amount); err != nil {
				return err
			}
		case "count":
		default:
			return fmt.Errorf("no command %s", word)
		}
		say(map[string]any{"held": len(held), "events": events.Load(), "broken": broken.Load(), "seconds": time.Since(began).Seconds()})
	}
	return nil
}

// upload sends a file of this many bytes; the origin says how many came.
func upload(client *Client, size int64) error {
	s := client.settings
	conn, err := client.open(s.host, 0, nil)
	if err != nil {
		return err
	}
	defer conn.close()
	if err := conn.tls.SetDeadline(time.Now().Add(5 * time.Minute)); err != nil {
		return err
	}
	head := "POST /v1/files HTTP/1.1\r\nHost: " + s.authority(s.host) + "\r\nUser-Agent: bench/1.0\r\n" +
		"Content-Type: application/octet-stream\r\nContent-Length: " + strconv.FormatInt(size, 10) + "\r\n\r\n"
	if _, err := conn.tls.Write([]byte(head)); err != nil {
		return err
	}
	block := make([]byte, 64*1024)
	for sent := int64(0); sent < size; sent += int64(len(block)) {
		if _, err := conn.tls.Write(block[:min(int64(len(block)), size-sent)]); err != nil {
			return err
		}
	}
	length, _, err := readHead(conn.reader)
	if err != nil {
		return err
	}
	answer := make([]byte, length)
	if _, err := io.ReadFull(conn.reader, answer); err != nil {
		return err
	}
	var counted struct {
		Bytes int64 `json:"bytes"`
	}
	if err := json.Unmarshal(answer, &counted); err != nil {
		return err
	}
	if counted.Bytes != size {
		return fmt.Errorf("%d of %d bytes came to the origin", counted.Bytes, size)
	}
	return nil
}

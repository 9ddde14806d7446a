package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	perSource = 400
	ioLimit   = 60 * time.Second
)

// Client opens connections and asks over them.
type Client struct {
	settings *Settings
	config   *tls.Config
	request  []byte
}

func newClient(s *Settings) (*Client, error) {
	pem, err := os.ReadFile(s.ca)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", s.ca)
	}
	var body []byte
	if s.bodyFile != "" {
		if body, err = os.ReadFile(s.bodyFile); err != nil {
			return nil, err
		}
	}
	client := &Client{settings: s, config: &tls.Config{
		RootCAs:          roots,
		ServerName:       s.host,
		NextProtos:       []string{"http/1.1"},
		CurvePreferences: []tls.CurveID{tls.X25519},
	}}
	client.request = requestOf(s.method, s.path, s.authority(s.host), int64(len(body)), body)
	return client, nil
}

// authority is the name with the port where the origin listens, if that is not the usual one.
func (s *Settings) authority(host string) string {
	if at := strings.LastIndexByte(s.origin, ':'); at >= 0 {
		return host + s.origin[at:]
	}
	return host
}

func requestOf(method, path, host string, length int64, body []byte) []byte {
	head := method + " " + path + " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n"
	if length > 0 {
		head += "Content-Type: application/json\r\nContent-Length: " + strconv.FormatInt(length, 10) + "\r\n"
	}
	return append([]byte(head+"\r\n"), body...)
}

// Conn is one TLS connection through the proxy, or straight to the origin.
type Conn struct {
	tls    *tls.Conn
	reader *bufio.Reader
}

// open makes connection number `at`; no source address has more than a proxy lets one client have.
func (c *Client) open(host string, at int, cache tls.ClientSessionCache) (*Conn, error) {
	s := c.settings
	target := s.origin
	if target == "" {
		target = host + ":443"
	}
	to := s.proxy
	if to == "" {
		to = target
	}
	source := &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+at/perSource))}
	dialer := net.Dialer{LocalAddr: source, Timeout: 20 * time.Second}
	raw, err := dialer.Dial("tcp", to)
	if err != nil {
		return nil, err
	}
	if err := raw.SetDeadline(time.Now().Add(ioLimit)); err != nil {
		return nil, err
	}
	if s.proxy != "" {
		name := s.authority(host)
		if s.origin == "" {
			name = target
		}
		if err := connectTo(raw, name); err != nil {
			raw.Close()
			return nil, err
		}
	}
	config := c.config
	if config.ServerName != host || cache != nil {
		config = config.Clone()
		config.ServerName = host
		config.ClientSessionCache = cache
	}
	secure := tls.Client(raw, config)
	if err := secure.Handshake(); err != nil {
		raw.Close()
		return nil, fmt.Errorf("handshake: %w", err)
	}
	return &Conn{tls: secure, reader: bufio.NewReaderSize(secure, 4096)}, nil
}

func connectTo(raw net.Conn, name string) error {
	ask := "CONNECT " + name + " HTTP/1.1\r\nHost: " + name + "\r\nUser-Agent: bench/1.0\r\n\r\n"
	if _, err := raw.Write([]byte(ask)); err != nil {
		return err
	}
	// The proxy says nothing more before the client's hello, so nothing is read too far.
	var head []byte
	buffer := make([]byte, 1024)
	for !bytes.Contains(head, []byte("\r\n\r\n")) {
		n, err := raw.Read(buffer)
		if err != nil {
			return fmt.Errorf("CONNECT: %w", err)
		}
		head = append(head, buffer[:n]...)
	}
	if len(head) < 12 || string(head[9:12]) != "200" {
		return fmt.Errorf("CONNECT: %.200s", head)
	}
	return nil
}

// ask sends one request and reads its whole answer, whose bytes it counts.
func (c *Client) ask(conn *Conn, request []byte) (int64, error) {
	if _, err := conn.tls.Write(request); err != nil {
		return 0, err
	}
	length, chunked, err := readHead(conn.reader)
	if err != nil {
		return 0, err
	}
	if chunked {
		length, err = readChunks(conn.reader, func([]byte) {})
	} else {
		var n int
		n, err = conn.reader.Discard(int(length))
		length = int64(n)
	}
	if err == nil && c.settings.length > 0 && int64(c.settings.length) != length {
		err = fmt.Errorf("an answer of %d bytes", length)
	}
	return length, err
}

func readHead(reader *bufio.Reader) (length int64, chunked bool, err error) {
	line, err := reader.ReadSlice('\n')
	if err != nil {
		return 0, false, err
	}
	if len(line) < 12 || string(line[9:12]) != "200" {
		status := string(line)
		rest, _ := io.ReadAll(io.LimitReader(reader, 600))
		return 0, false, fmt.Errorf("answered %s%.600s", status, rest)
	}
	for {
		line, err = reader.ReadSlice('\n')
		if err != nil {
			return 0, false, err
		}
		if len(line) <= 2 {
			return length, chunked, nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case strings.EqualFold(string(name), "content-length"):
			length, err = strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64)
			if err != nil {
				return 0, false, err
			}
		case strings.EqualFold(string(name), "transfer-encoding"):
			chunked = bytes.Contains(value, []byte("chunked"))
		}
	}
}

// readChunks hands on every chunk as it comes; those of a stream are single events.
func readChunks(reader *bufio.Reader, take func([]byte)) (int64, error) {
	var total int64
	for {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return total, err
		}
		size, err := strconv.ParseInt(strings.TrimSpace(string(line)), 16, 64)
		if err != nil {
			return total, err
		}
		chunk := make([]byte, size+2)
		if _, err := io.ReadFull(reader, chunk); err != nil {
			return total, err
		}
		if size == 0 {
			return total, nil
		}
		take(chunk[:size])
		total += size
	}
}

func (c *Conn) close() {
	_ = c.tls.Close()
}
